"""EfficientNet-Lite0 in plain PyTorch, with the names of the published file."""

import pytest

torch = pytest.importorskip("torch", reason="parity needs torch: pip install -e '.[dev]'")
nn = torch.nn

BLOCKS = [  # kernel, stride, expansion, width in, width out
    (3, 1, 1, 32, 16),
    (3, 2, 6, 16, 24), (3, 1, 6, 24, 24),
    (5, 2, 6, 24, 40), (5, 1, 6, 40, 40),
    (3, 2, 6, 40, 80), (3, 1, 6, 80, 80), (3, 1, 6, 80, 80),
    (5, 1, 6, 80, 112), (5, 1, 6, 112, 112), (5, 1, 6, 112, 112),
    (5, 2, 6, 112, 192), (5, 1, 6, 192, 192), (5, 1, 6, 192, 192), (5, 1, 6, 192, 192),
    (3, 1, 6, 192, 320),
]  # fmt: skip


class Conv(nn.Conv2d):
    """A convolution padded as TensorFlow's "same": the odd pixel at the end."""

    def forward(self, x):
        (kernel, _), (stride, _) = self.kernel_size, self.stride
        pads = []
        for length in (x.shape[3], x.shape[2]):
            pad = max((-(-length // stride) - 1) * stride + kernel - length, 0)
            pads += [pad // 2, pad - pad // 2]
        return super().forward(nn.functional.pad(x, pads))


def norm(width):
    return nn.BatchNorm2d(width, eps=1e-3)


class Block(nn.Module):
    def __init__(self, kernel, stride, expansion, width, out):
        super().__init__()
        inner, self.residual = width * expansion, stride == 1 and width == out
        self.expands = expansion != 1
        if self.expands:
            self._expand_conv, self._bn0 = Conv(width, inner, 1, bias=False), norm(inner)
        self._depthwise_conv = Conv(inner, inner, kernel, stride, groups=inner, bias=False)
        self._bn1 = norm(inner)
        self._project_conv, self._bn2 = Conv(inner, out, 1, bias=False), norm(out)

    def forward(self, x):
        y = nn.functional.relu6(self._bn0(self._expand_conv(x))) if self.expands else x
        y = nn.functional.relu6(self._bn1(self._depthwise_conv(y)))
        y = self._bn2(self._project_conv(y))
        return x + y if self.residual else y


class Lite0(nn.Module):
    def __init__(self):
        super().__init__()
        self._conv_stem, self._bn0 = Conv(3, 32, 3, 2, bias=False), norm(32)
        self._blocks = nn.ModuleList(Block(*sizes) for sizes in BLOCKS)
        self._conv_head, self._bn1 = Conv(320, 1280, 1, bias=False), norm(1280)
        self._fc = nn.Linear(1280, 1000)

    def forward(self, x):
        """Images (B, 3, H, W) -> features (B, 1280) and logits (B, 1000)."""
        x = nn.functional.relu6(self._bn0(self._conv_stem(x)))
        for block in self._blocks:
            x = block(x)
        features = nn.functional.relu6(self._bn1(self._conv_head(x))).mean((2, 3))
        return features, self._fc(features)


def random_lite0():
    """The network with random parameters and statistics, in evaluation mode."""
    torch.manual_seed(0)
    model = Lite0().eval()
    for name, value in model.state_dict().items():
        if name.endswith("running_var"):
            value.uniform_(0.5, 2)
        elif "_bn" in name and value.is_floating_point():
            value.add_(0.3 * torch.randn(value.shape))
    return model
