"""What people call COCO's 80 categories."""

from collections.abc import Iterable

#: Everyday words; a category's name, plurals and (if no other category ends so) its last word come by themselves.
SYNONYMS = {
    "person": "man woman boy girl child kid baby player rider guy lady skier surfer skateboarder batter pitcher "
    "catcher snowboarder someone toddler men women people children kids players riders",
    "bicycle": "bike", "motorcycle": "motorbike", "airplane": "plane jet airliner aeroplane", "bus": "buses",
    "truck": "pickup", "boat": "ship sailboat canoe kayak", "bench": "benches", "bird": "parrot seagull duck pigeon",
    "cat": "kitten kitty", "dog": "puppy pup", "horse": "pony foal", "sheep": "lamb lambs", "cow": "cattle bull calf",
    "couch": "sofa couches", "tv": "television", "cell phone": "cellphone smartphone", "refrigerator": "fridge",
    "knife": "knives", "mouse": "mice", "sandwich": "sandwiches burger", "donut": "doughnut", "laptop": "macbook",
    "wine glass": "wineglass", "toothbrush": "toothbrushes", "skis": "ski", "remote": "controller",
    "teddy bear": "teddy", "dining table": "table", "potted plant": "houseplant", "sports ball": "baseball football",
}  # fmt: skip


def coco_nouns(categories: Iterable[str]) -> dict[str, str]:
    """Word (or pair of words) to category, for ``metrics.grounding``.

    A name of two words stands as a pair; its last word alone means it too, unless that is ambiguous: a "dog" is no hot
    dog, but a "hydrant" is a fire hydrant.

    >>> table = coco_nouns(["dog", "hot dog", "fire hydrant"])
    >>> table["dogs"], table["hot dogs"], table["hydrant"], table["puppies"]
    ('dog', 'hot dog', 'fire hydrant', 'dog')
    """
    categories = sorted(set(categories))
    table: dict[str, str] = {}
    last = [name.split()[-1] for name in categories]
    for name in categories:
        words = [name, *SYNONYMS.get(name, "").split()]
        if " " in name and last.count(name.split()[-1]) == 1:
            words.append(name.split()[-1])
        for word in words:
            table.setdefault(word, name)
            table.setdefault(_plural(word), name)
    return table


def _plural(word: str) -> str:
    if word.endswith("y") and word[-2] not in "aeiou":
        return word[:-1] + "ies"
    return word + ("es" if word.endswith(("s", "x", "ch", "sh")) else "s")
