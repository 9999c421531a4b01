"""QuartzNet 15x5: NVIDIA's small convolutional speech recogniser, 18 blocks, 18.9 M parameters.

Kriman et al. 2019, https://arxiv.org/abs/1910.10261
"""

from __future__ import annotations

from backbones._nemo.quartznet import FoldedQuartzNet
from backbones.base import BackboneInfo

INFO = BackboneInfo(
    name="quartznet",
    summary="QuartzNet 15x5, convolutional CTC speech recogniser (NVIDIA, English)",
    weights_id=(
        "https://api.ngc.nvidia.com/v2/models/nvidia/nemospeechmodels/versions/1.0.0a5/files/"
        "QuartzNet15x5Base-En.nemo"
    ),
    revision="sha256:1fae09384a4285d941b57a185a05ef847e2c374056cfc3e37460923c62599cd1",
    licence="LicenseRef-NVIDIA-NGC-Terms-of-Use",
    sample_rate=16_000,
    layers=19,
    width=1024,
    frame_rate=50.0,
    max_seconds=30.0,
    attention_mask=True,
    normalised=False,
    parameters=18_894_656,
    trainable=True,
)


class QuartzNet(FoldedQuartzNet):
    """QuartzNet 15x5."""

    info = INFO
