from __future__ import annotations

import itertools
import math
import re
from collections import Counter
from collections.abc import Callable
from importlib import resources

import pytest

from conformance.engine.corpus import SETS, Named, corpus, parse
from conformance.errors import HarnessError
from conformance.problem import Geometry, Problem
from conformance.spec import REGISTRY
from conformance.spec.document import QUESTIONS


def by_id(name: str) -> dict[str, Problem]:
    return {n.id: n.problem for n in corpus(name)}


# ---- all sets ----
@pytest.mark.parametrize("name", SETS)
def test_every_line_of_a_set_is_a_possible_problem(name: str) -> None:
    text = resources.files("conformance.engine").joinpath(f"corpus/{name}.txt").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    assert len(corpus(name)) == len(lines) > 0
    for named, line in zip(corpus(name), lines, strict=True):
        assert line.startswith(f"{named.id} ")
        assert math.prod(named.problem.geometry.output) >= 1
        assert Problem.parse(str(named.problem)) == named.problem


def test_ids_are_unique_over_all_sets() -> None:
    ids = Counter(n.id for name in SETS for n in corpus(name))
    assert [id_ for id_, count in ids.items() if count > 1] == []
    assert [id_ for id_ in ids if not re.fullmatch(r"[a-z0-9_]+/[\w.-]+", id_)] == []


def test_ids_begin_with_their_set() -> None:
    for name in ("covering", "seed", "edges", "sizes"):
        assert {id_.partition("/")[0] for id_ in by_id(name)} == {name}


def test_no_problem_stands_twice() -> None:
    """It would be left out in silence."""
    lines = Counter(n.problem for name in SETS for n in corpus(name))
    assert [str(p) for p, count in lines.items() if count > 1] == []


@pytest.mark.parametrize("name", SETS)
def test_seeds_differ_where_geometries_are_alike(name: str) -> None:
    seeds = Counter((n.problem.seed, n.problem.geometry) for n in corpus(name))
    assert max(seeds.values()) == 1


def test_a_set_is_read_once() -> None:
    assert corpus("seed") is corpus("seed")


# ---- reading ----
def test_comments_and_empty_lines_are_left_out() -> None:
    text = "# a comment\n\n  \na/b 1d n1 c1 m1 i5 k3 f64  # another\n  c/d i4 k2\n"
    assert list(parse(text, "x.txt")) == [
        Named(id="a/b", problem=Problem(geometry=Geometry(size=5, kernel=3))),  # type: ignore[arg-type]
        Named(id="c/d", problem=Problem(geometry=Geometry(size=4, kernel=2))),  # type: ignore[arg-type]
    ]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a/b i5 k3\n\na/c i5 k9\n", "x.txt, line 3: the kernel does not fit on axis 0"),
        ("a/b i5 k3 z7\n", "x.txt, line 1: no token begins like 'z7'"),
        ("a/b\n", "x.txt, line 1: the size is missing"),
        ("a/b i5 k3\n# between\na/b i6 k3\n", "x.txt, line 3: the id 'a/b' stands twice"),
    ],
)
def test_a_line_that_is_wrong_is_a_defect_of_ours_with_its_number(text: str, words: str) -> None:
    with pytest.raises(HarnessError) as caught:
        list(parse(text, "x.txt"))
    assert str(caught.value).startswith(words)


# ---- the seed ----
def test_the_posts_own_figures_come_first() -> None:
    first = corpus("seed")[0]
    assert first.id == "seed/post"
    assert (first.problem.geometry.size, first.problem.geometry.kernel) == ((3, 3), (2, 2))
    assert first.problem.geometry.output == (2, 2)
    assert first.problem.geometry.convention == "convolution"


def test_every_reader_with_a_case_has_a_problem() -> None:
    """Readers 13 and 15 ask about indices only: there is nothing to compute."""
    readers = {int(m[1]) for id_ in by_id("seed") if (m := re.match(r"seed/reader-(\d+)-", id_))}
    assert readers == set(QUESTIONS) - {13, 15}


def test_the_readers_numbers_come_true() -> None:
    seed = by_id("seed")
    assert seed["seed/reader-07-sizes"].geometry.output == (5, 5)
    assert seed["seed/reader-16-no-sharing"].geometry.output == (1, 1)
    assert max(seed["seed/reader-12-stride"].geometry.stride) > 1
    assert max(seed["seed/reader-12-remainder"].geometry.remainder) > 0
    assert all(
        s > k
        for s, k in zip(
            *(getattr(seed["seed/reader-12-beyond"].geometry, n) for n in ("stride", "kernel")), strict=True
        )
    )
    assert (seed["seed/reader-19-depth"].geometry.channels, seed["seed/reader-19-depth"].geometry.maps) == (
        10,
        1,
    )
    assert seed["seed/reader-08-bias"].geometry.bias == "untied"


@pytest.mark.parametrize("clause", ["FWD-8", "WGT-6"])
def test_the_clauses_of_kernel_equal_input_have_problems(clause: str) -> None:
    assert clause in REGISTRY
    whole = [p for p in by_id("seed").values() if p.geometry.kernel == p.geometry.size]
    assert {p.geometry.convention for p in whole} == {"correlation", "convolution"}


# ---- sizes ----
AROUND = {7, 8, 9, 15, 16, 17, 31, 32, 33, 64, 255, 256, 257}
AXES: dict[str, Callable[[Problem], int]] = {
    "batch": lambda p: p.geometry.batch,
    "channels": lambda p: p.geometry.channels,
    "maps": lambda p: p.geometry.maps,
    "1d spatial": lambda p: p.geometry.size[0] if p.geometry.rank == 1 else 0,
    "2d last spatial": lambda p: p.geometry.size[1] if p.geometry.rank == 2 else 0,
    "2d first spatial": lambda p: p.geometry.size[0] if p.geometry.rank == 2 else 0,
    "3d spatial": lambda p: p.geometry.size[0] if p.geometry.rank == 3 else 0,
    "kernel": lambda p: max(p.geometry.kernel),
}


@pytest.mark.parametrize("axis", AXES)
def test_every_axis_has_the_sizes_at_which_kernels_are_tiled(axis: str) -> None:
    """numerics.md: 7 8 9, 15 16 17, 31 32 33, 64, 255-257 (spatial, channels, maps, batch, kernel)."""
    met = {AXES[axis](p) for p in by_id("sizes").values()}
    assert sorted(AROUND - met) == []


@pytest.mark.parametrize("family", ["width", "height", "length", "depth", "channels", "maps", "batch"])
def test_one_axis_at_a_time(family: str) -> None:
    """In a family everything but the one size stays as it is, and the number in the id is that size."""
    field = {"channels": "channels", "maps": "maps", "batch": "batch"}.get(family, "size")
    axis = 1 if family == "width" else 0
    rest = set()
    for id_, p in by_id("sizes").items():
        if not id_.startswith(f"sizes/{family}-") or not id_[-1].isdigit():
            continue
        value = getattr(p.geometry, field)
        size = value[axis] if field == "size" else value
        assert id_ == f"sizes/{family}-{size}"
        others = p.geometry.size[:axis] + p.geometry.size[axis + 1 :] if field == "size" else p.geometry.size
        same = (
            "batch",
            "channels",
            "maps",
            "groups",
            "kernel",
            "stride",
            "padding",
            "dilation",
            "bias",
            "convention",
        )
        rest.add((others, p.dtype, *(getattr(p.geometry, name) for name in same if name != field)))
    assert len(rest) == 1


SUMMANDS: dict[str, Callable[[Geometry], int]] = {
    "y": lambda g: g.channels // g.groups * math.prod(g.kernel),
    "dx": lambda g: g.maps // g.groups * math.prod(g.kernel),
    "dw": lambda g: g.batch * math.prod(g.output),
}


@pytest.mark.parametrize("quantity", SUMMANDS)
def test_some_sums_have_more_than_1024_products(quantity: str) -> None:
    assert max(SUMMANDS[quantity](p.geometry) for p in by_id("sizes").values()) > 1024


def test_long_sums_are_there_in_every_regime() -> None:
    long = [
        p for p in by_id("sizes").values() if max(count(p.geometry) for count in SUMMANDS.values()) > 1024
    ]
    assert {p.fill for p in long} >= {"small", "real"}
    assert {p.dtype for p in long} >= {"f64", "f32", "f16"}


def test_sizes_that_coincide_have_their_problems() -> None:
    geometries = [p.geometry for p in by_id("sizes").values()]
    assert any(g.batch == g.maps > 1 and g.batch != g.channels for g in geometries)
    assert any(g.channels == g.maps > 1 and g.groups == 1 and g.batch != g.maps for g in geometries)
    assert any(g.kernel == g.size for g in geometries)


# ---- layers of real networks ----
NETWORKS = {
    "LeNet-5": ["lenet5"],
    "AlexNet": ["alexnet", "alexnet_torchvision"],
    "VGG-16": ["vgg16"],
    "GoogLeNet": ["googlenet"],
    "ResNet-50": ["resnet50"],
    "MobileNetV2": ["mobilenet_v2"],
    "EfficientNet-B0": ["efficientnet_b0", "tf_efficientnet_b0"],
    "ConvNeXt-T": ["convnext_tiny"],
    "U-Net": ["unet"],
    "WaveNet": ["wavenet"],
    "TCN": ["tcn_pmnist", "tcn_charptb"],
    "C3D": ["c3d"],
    "R(2+1)D": ["r2plus1d_18"],
}


def test_there_are_150_layers_of_the_networks_everybody_knows() -> None:
    count = Counter(id_.partition("/")[0] for id_ in by_id("layers"))
    of_network = {name: sum(count[prefix] for prefix in prefixes) for name, prefixes in NETWORKS.items()}
    assert min(of_network.values()) >= 3, of_network
    assert sum(of_network.values()) >= 150


OUTPUTS = [
    ("lenet5/c1", (28, 28)),
    ("lenet5/c5", (1, 1)),
    ("alexnet/conv1", (55, 55)),
    ("vgg16/features.0", (224, 224)),
    ("googlenet/conv1.7x7_s2", (112, 112)),
    ("resnet50/conv1", (112, 112)),
    ("resnet50/layer4.0.downsample.0", (7, 7)),
    ("mobilenet_v2/features.14.conv.1.0", (7, 7)),
    ("efficientnet_b0/features.3.0.block.1.0", (28, 28)),
    ("tf_efficientnet_b0/conv_stem", (112, 112)),
    ("convnext_tiny/features.0.0", (56, 56)),
    ("convnext_tiny/features.6.1", (7, 7)),
    ("unet/down1.conv2", (568, 568)),
    ("unet/out", (388, 388)),
    ("wavenet/dilated_stack.layer9.filter", (16000,)),
    ("tcn_pmnist/network.7.conv1", (784,)),
    ("c3d/conv1a", (16, 112, 112)),
    ("c3d/conv5a", (2, 7, 7)),
    ("r2plus1d_18/stem.0", (16, 56, 56)),
    ("r2plus1d_18/layer3.0.conv1.0.3", (4, 14, 14)),
    ("vit_b_16/conv_proj", (14, 14)),
    ("whisper_base/encoder.conv2", (1500,)),
    ("dcgan/main.11", (1, 1)),
]


@pytest.mark.parametrize(("layer", "output"), OUTPUTS, ids=[layer for layer, _ in OUTPUTS])
def test_well_known_layers_have_their_well_known_sizes(layer: str, output: tuple[int, ...]) -> None:
    assert by_id("layers")[layer].geometry.output == output


WEIGHTS = [
    ("lenet5/c1", 6 * 25),
    ("alexnet/conv2", 256 * 48 * 25),
    ("resnet50/conv1", 9408),
    ("vgg16/features.0", 1728),
    ("mobilenet_v2/features.0.0", 864),
    ("convnext_tiny/features.1.0.block.0", 96 * 49),
    ("r2plus1d_18/stem.0", 45 * 3 * 49),
    ("c3d/conv1a", 64 * 3 * 27),
]


@pytest.mark.parametrize(("layer", "count"), WEIGHTS, ids=[layer for layer, _ in WEIGHTS])
def test_well_known_layers_have_their_well_known_number_of_weights(layer: str, count: int) -> None:
    assert math.prod(by_id("layers")[layer].geometry.w_shape) == count


CHAINS = [
    ("wavenet", ["causal_layer", "dilated_stack.layer0.filter", "dilated_stack.layer1.filter"]),
    ("c3d", ["conv3a", "conv3b"]),
    ("unet", ["down1.conv1", "down1.conv2"]),
    ("resnet50", ["layer2.0.conv1", "layer2.0.conv2", "layer2.0.conv3", "layer2.1.conv1", "layer2.1.conv2"]),
    ("r2plus1d_18", ["stem.0", "stem.3", "layer1.0.conv1.0.0", "layer1.0.conv1.0.3"]),
    ("dcgan", ["main.0", "main.2", "main.5", "main.8", "main.11"]),
    ("wav2vec2", ["feature_extractor.conv_layers.0.conv", "feature_extractor.conv_layers.1.conv",
                  "feature_extractor.conv_layers.2.conv"]),
    ("m5", ["conv1"]),
]  # fmt: skip


@pytest.mark.parametrize(("network", "layers"), CHAINS, ids=[network for network, _ in CHAINS])
def test_one_layers_output_is_the_next_ones_input(network: str, layers: list[str]) -> None:
    geometries = [by_id("layers")[f"{network}/{layer}"].geometry for layer in layers]
    for before, after in itertools.pairwise(geometries):
        assert (after.channels, after.size) == (before.maps, before.output)


def test_no_geometry_stands_twice_in_a_network() -> None:
    of_network = Counter((id_.partition("/")[0], p.geometry) for id_, p in by_id("layers").items())
    assert [network for (network, _), count in of_network.items() if count > 1] == []


def test_real_layers_cover_what_networks_use() -> None:
    geometries = [p.geometry for p in by_id("layers").values()]
    assert {g.rank for g in geometries} == {1, 2, 3}
    assert any(g.groups == g.channels > 1 for g in geometries)
    assert any(1 < g.groups < g.channels for g in geometries)
    assert any(max(g.dilation) > 100 for g in geometries)
    assert any(lo != hi for g in geometries for lo, hi in g.padding)
    assert any(set(g.kernel) == {1} and max(g.stride) > 1 for g in geometries)
