"""The named sizes. A preset holds numbers only: both build from the same classes."""

from updown_lab import config as c

TINY = c.Config(
    name="tiny",
    encoders=("regions", "grid-pretrained-7", "grid-detector-7"),
    trunk=c.TrunkConfig(
        block="BasicBlock", layers=(1, 1, 1, 1), widths=(48, 96, 96, 192), strides=(2, 2, 1, 2),
        stem_width=16, stem_kernel=5, pool_kernel=1, pool_stride=1,
        frozen_stages=0, frozen_norm=False, weights="pretrained",
    ),
    pretraining=c.TrainingConfig(
        steps=560, batch_size=64, optimiser="adamw", learning_rate=3e-3, weight_decay=0.02,
        schedule="cosine", warmup=0.2, clip_norm=5.0, evaluate_every=140,
    ),
    detector=c.DetectorConfig(
        image_min=128, image_max=128, anchor_sizes=(14, 22, 34, 52), anchor_ratios=(0.6, 1.0, 1.6), roi_size=5,
        proposals_train=100, proposals_test=60, proposal_candidates=300, rpn_batch=64, roi_batch=16,
        class_embedding=32, attribute_hidden=128,
    ),
    detector_training=c.TrainingConfig(
        steps=1125, batch_size=8, optimiser="adamw", learning_rate=1.5e-3, weight_decay=0.02,
        schedule="cosine", warmup=0.2, clip_norm=5.0, evaluate_every=375,
    ),
    selection=c.SelectionConfig(minimum=4, maximum=16),
    captioner=c.CaptionerConfig(embedding_size=96, hidden_size=160, attention_size=96, standardise=True),
    cross_entropy=c.TrainingConfig(
        steps=700, batch_size=24, optimiser="adam", learning_rate=3e-3, weight_decay=0.0,
        schedule="cosine", warmup=0.05, clip_norm=5.0, evaluate_every=350,
    ),
    scst=c.ScstConfig(training=c.TrainingConfig(
        steps=150, batch_size=24, optimiser="adam", learning_rate=3e-4, weight_decay=0.0,
        schedule="constant", clip_norm=1.0, evaluate_every=50,
    )),
    vqa=c.VqaConfig(embedding_size=64, hidden_size=128, standardise=True, normalise=False, answer_minimum_count=1,
                    dropout=0.2),
    vqa_training=c.TrainingConfig(
        steps=2000, batch_size=128, optimiser="adam", learning_rate=2e-3, weight_decay=0.0,
        schedule="cosine", warmup=0.05, clip_norm=5.0, evaluate_every=500, keep="best",
    ),
)

PRESETS = {"paper": c.Config(), "tiny": TINY}
