"""JupyterLab on this machine's own loopback, for as long as a block runs."""

import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import contextmanager
from pathlib import Path

HOUSE = Path(__file__).parents[2]
PATIENCE = 120  # seconds; a cold start on two busy cores

# The page answers a promise without a time limit, so: wait for the kernel, start all cells, do not wait for the end.
RUN_ALL = """async () => {
  const { shell, commands } = window.jupyterapp, panel = shell.currentWidget;
  await panel.context.ready;
  await panel.sessionContext.ready;
  await panel.sessionContext.session.kernel.info;
  commands.execute("notebook:run-all-cells");
}"""


def notebook(path: Path, *cells: str) -> Path:
    """Write a notebook of code cells, each with an id, as JupyterLab itself does."""
    made = [{"cell_type": "code", "id": f"cell-{number}", "metadata": {}, "source": source, "outputs": [],
             "execution_count": None} for number, source in enumerate(cells)]  # fmt: skip
    spec = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    path.write_text(json.dumps({"cells": made, "metadata": spec, "nbformat": 4, "nbformat_minor": 5}))
    return path


@contextmanager
def lab_pages(folder: Path):
    """JupyterLab and Chromium together; gives a function that opens a notebook of cells and runs them.

    A page's ``faults`` are the errors of its console and of its scripts, and what it asked of other machines. ``by``
    is where the notebook is opened: "lab/tree", or "notebooks" for Notebook 7.
    """
    from chromium import chromium  # of tests/widgets, which every test here puts on the path

    with jupyter_lab(folder) as (address, token), chromium() as browser:
        home = (address, address.replace("http", "ws", 1), "blob:", "data:")

        def open_notebook(name, *cells, by="lab/tree"):
            notebook(folder / f"{name}.ipynb", *cells)
            page = browser.new_page(viewport={"width": 1280, "height": 1000})
            page.set_default_timeout(60_000)
            page.faults = []
            page.on("console", lambda message: page.faults.append(message.text) if message.type == "error" else None)
            page.on("pageerror", lambda error: page.faults.append(str(error)))
            page.on("request", lambda one: None if one.url.startswith(home) else page.faults.append(one.url))
            page.goto(f"{address}/{by}/{name}.ipynb?reset&token={token}")
            page.locator(".jp-Notebook").wait_for()
            page.evaluate(RUN_ALL)
            return page

        yield open_notebook


@contextmanager
def jupyter_lab(folder: Path):
    """Serve a folder; gives (address, token). Server and kernels end with the block.

    Raises:
        RuntimeError: it did not start; the message holds the end of its log.
    """
    home, token = folder / ".jupyter-home", secrets.token_hex(16)
    quiet = home / "settings" / "@jupyterlab" / "apputils-extension" / "notification.jupyterlab-settings"
    quiet.parent.mkdir(parents=True)
    quiet.write_text('{"fetchNews": "false", "checkForUpdates": false}')
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    places = {f"JUPYTER_{kind}_DIR": str(home / kind.lower()) for kind in ("CONFIG", "DATA", "RUNTIME")}
    path = os.pathsep.join(filter(None, [str(HOUSE), str(HOUSE / "tests" / "widgets"), os.environ.get("PYTHONPATH")]))
    options = {
        "ServerApp.port": port, "ServerApp.port_retries": 0, "ServerApp.ip": "127.0.0.1", "ServerApp.root_dir": folder,
        "ServerApp.allow_root": True, "ServerApp.open_browser": False, "IdentityProvider.token": token,
        "LabApp.expose_app_in_browser": True, "JupyterNotebookApp.expose_app_in_browser": True,
        "LabApp.workspaces_dir": home / "workspaces",
        "LabApp.user_settings_dir": home / "settings",
    }  # fmt: skip
    command = [sys.executable, "-m", "jupyter", "lab", *(f"--{name}={value}" for name, value in options.items())]
    with open(home / "log", "wb") as log:
        mine = {**os.environ, **places, "IPYTHONDIR": str(home / "ipython"), "PYTHONPATH": path}
        server = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, env=mine, start_new_session=True)
    address = f"http://127.0.0.1:{port}"
    try:
        _wait(f"{address}/api/status?token={token}", server, home / "log")
        yield address, token
    finally:
        os.killpg(server.pid, signal.SIGTERM)  # the group that we started: server and kernels
        try:
            server.wait(15)
        except subprocess.TimeoutExpired:
            os.killpg(server.pid, signal.SIGKILL)


def _wait(address: str, server: subprocess.Popen, log: Path) -> None:
    """Until it answers."""
    late = time.monotonic() + PATIENCE
    while time.monotonic() < late and server.poll() is None:
        try:
            urllib.request.urlopen(address, timeout=2).read()
            return
        except (urllib.error.URLError, OSError):
            time.sleep(0.3)
    raise RuntimeError(f"JupyterLab did not start: {log.read_text()[-2000:]}")
