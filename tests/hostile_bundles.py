"""Bundles that a stranger made to do harm. Who can write one can also write its checksums, so they
are right unless they are what is wrong.

HOSTILE: name -> (what makes it of a sound bundle in a folder, a word of the refusal).
"""

from __future__ import annotations

import hashlib
import json
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from kennel.bundle import BUNDLE_JSON, MODEL_ONNX

CANARY = "canary"  # a file that appears in the working directory if the harm is done
Spoil = Callable[[Path], None]


class Payload:
    """What unpickles into a canary."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (os.system, (f"touch {CANARY}",))


PICKLE = pickle.dumps(Payload())


def forge(folder: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    """Changes bundle.json and writes it as kennel does, checksum and all."""
    path = folder / BUNDLE_JSON
    document = json.loads(path.read_text(encoding="utf-8"))
    change(document)
    path.write_bytes(layout(document))


def layout(document: dict[str, Any]) -> bytes:
    rest = {key: value for key, value in document.items() if key != "checksum"}
    line = json.dumps(rest, sort_keys=True, ensure_ascii=False).encode("utf-8", "surrogatepass")
    document["checksum"] = hashlib.sha256(line).hexdigest()
    text = json.dumps(document, indent=2, ensure_ascii=False) + "\n"
    return text.encode("utf-8", "surrogatepass")


def with_file(folder: Path, name: str, content: bytes) -> None:
    """Puts a file below the folder and lists it."""
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(content)
    listed(folder, name, content)


def listed(folder: Path, name: str, content: bytes, *, size: int | None = None) -> None:
    """Lists a file in bundle.json, whatever lies there."""
    entry = {
        "sha256": hashlib.sha256(content).hexdigest(),
        "bytes": len(content) if size is None else size,
    }
    forge(folder, lambda document: document["files"].update({name: entry}))


def with_model(change: Callable[[onnx.ModelProto], Any]) -> Spoil:
    """The bundle's own model, changed."""

    def spoil(folder: Path) -> None:
        model = onnx.load(folder / MODEL_ONNX, load_external_data=False)
        change(model)
        with_file(folder, MODEL_ONNX, model.SerializeToString())

    return spoil


def with_model_bytes(change: Callable[[bytes], bytes]) -> Spoil:
    return lambda folder: with_file(folder, MODEL_ONNX, change((folder / MODEL_ONNX).read_bytes()))


def with_document(change: Callable[[dict[str, Any]], Any]) -> Spoil:
    return lambda folder: forge(folder, change)


def with_text(change: Callable[[str], str]) -> Spoil:
    """bundle.json itself, as text."""

    def spoil(folder: Path) -> None:
        path = folder / BUNDLE_JSON
        path.write_text(change(path.read_text(encoding="utf-8")), encoding="utf-8")

    return spoil


def with_name(name: str) -> Spoil:
    return lambda folder: listed(folder, name, b"x")


def both(*names: str) -> Spoil:
    def spoil(folder: Path) -> None:
        for name in names:
            listed(folder, name, b"x")

    return spoil


def linked(target: str) -> Spoil:
    """The model is a link; its checksum is that of what it leads to, where there is something."""

    def spoil(folder: Path) -> None:
        (folder / MODEL_ONNX).unlink()
        (folder / MODEL_ONNX).symlink_to(target)
        there = (folder / target).is_file()
        listed(folder, MODEL_ONNX, (folder / target).read_bytes() if there else b"x")

    return spoil


def behind_a_link(folder: Path) -> None:
    outside = folder.parent / "outside"
    outside.mkdir()
    (outside / "weights.bin").write_bytes(b"secret")
    (folder / "parts").symlink_to(outside, target_is_directory=True)
    listed(folder, "parts/weights.bin", b"secret")


def a_pipe(name: str) -> Spoil:
    def spoil(folder: Path) -> None:
        (folder / name).unlink()
        os.mkfifo(folder / name)

    return spoil


def a_folder(folder: Path) -> None:
    (folder / MODEL_ONNX).unlink()
    (folder / MODEL_ONNX).mkdir()


def external(location: str) -> Callable[[TensorProto], None]:
    def change(tensor: TensorProto) -> None:
        tensor.ClearField("raw_data")
        tensor.data_location = TensorProto.EXTERNAL
        for key, value in (("location", location), ("offset", "4096"), ("length", "36")):
            entry = tensor.external_data.add()
            entry.key, entry.value = key, value

    return change


def in_weight(change: Callable[[TensorProto], Any]) -> Spoil:
    return with_model(lambda model: change(model.graph.initializer[0]))


def outside_tensor(name: str = "outside") -> TensorProto:
    tensor = numpy_helper.from_array(np.ones(9, np.float32), name)
    external("../outside")(tensor)
    return tensor


def in_subgraph(model: onnx.ModelProto) -> None:
    branch = helper.make_graph([], "branch", [], [], [outside_tensor()])
    model.graph.node.append(helper.make_node("If", ["c"], ["o"], then_branch=branch))


def in_constant(model: onnx.ModelProto) -> None:
    model.graph.node.append(helper.make_node("Constant", [], ["o"], value=outside_tensor()))


def sparse(model: onnx.ModelProto) -> None:
    model.graph.sparse_initializer.append(
        helper.make_sparse_tensor(
            helper.make_tensor("bomb", TensorProto.FLOAT, [1], [1.0]),
            helper.make_tensor("places", TensorProto.INT64, [1], [0]),
            [1 << 20, 1 << 20],
        )
    )


def filled(value: float, dtype: Any = np.float32) -> Callable[[TensorProto], None]:
    def change(tensor: TensorProto) -> None:
        weights = np.eye(3, dtype=dtype)
        weights[1, 2] = value
        tensor.CopyFrom(numpy_helper.from_array(weights, "weight"))

    return change


def typed(data_type: int, values: list[float]) -> Callable[[TensorProto], None]:
    """Numbers in their own field instead of in raw_data."""
    return lambda tensor: tensor.CopyFrom(helper.make_tensor("weight", data_type, [3, 3], values))


def bfloat16(tensor: TensorProto) -> None:
    raw = np.full(9, 0x7FC0, "<u2").tobytes()
    tensor.CopyFrom(helper.make_tensor("weight", TensorProto.BFLOAT16, [3, 3], raw, raw=True))


def operator(name: str, domain: str) -> Spoil:
    return with_model(
        lambda model: model.graph.node.append(helper.make_node(name, [], ["o"], domain=domain))
    )


def laughs(model: onnx.ModelProto) -> None:
    """Thirty functions, each of which calls the one before twice."""
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid("ha", 1)]
    for n in range(30):
        calls = [helper.make_node(f"f{n - 1}" if n else "Relu", ["x"], [f"y{i}"]) for i in (0, 1)]
        for call in calls:
            call.domain = "ha" if n else ""
        model.functions.append(helper.make_function("ha", f"f{n}", ["x"], ["y1"], calls, opsets))


def more_labels(folder: Path) -> None:
    """bundle.json agrees with itself, and not with the model."""

    def change(document: dict[str, Any]) -> None:
        document["labels"].append("violet")
        document["outputs"][0]["shape"][1] = 4

    forge(folder, change)


def own_format(content: bytes) -> bytes:
    """Sound protobuf, and also what onnxruntime takes for a format of its own."""
    return b"\x12\x06..ORTM" + b"".join(strip_producer(content))


def strip_producer(content: bytes) -> list[bytes]:
    model = onnx.load_from_string(content)
    model.ClearField("producer_name")
    return [model.SerializeToString()]


def as_message(number: int, content: bytes) -> bytes:
    return bytes([number << 3 | 2]) + varint(len(content)) + content


def varint(value: int) -> bytes:
    octets = bytearray()
    while value > 0x7F:
        octets.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*octets, value])


def cut_to_external(content: bytes) -> bytes:
    """data_location = 2**32 + 1, which parsers cut to 1, EXTERNAL; in a second graph, which they
    merge with the first.
    """
    tensor = as_message(8, b"w") + b"\x10\x01" + bytes([14 << 3]) + varint(2**32 + 1)
    return content + as_message(7, as_message(5, tensor))


def cut_location(content: bytes) -> bytes:
    model = onnx.load_from_string(content)
    graph = model.graph.SerializeToString()
    model.ClearField("graph")
    tensor = as_message(8, b"w") + b"\x10\x01" + bytes([14 << 3]) + varint(2**32 + 1)
    return model.SerializeToString() + as_message(7, graph + as_message(5, tensor))


def deep(model: onnx.ModelProto) -> None:
    graph = helper.make_graph([], "leaf", [], [])
    for _ in range(20):
        graph = helper.make_graph(
            [helper.make_node("If", ["c"], ["o"], then_branch=graph)], "branch", [], []
        )
    model.graph.node.extend(graph.node)


def too_many(folder: Path) -> None:
    def change(document: dict[str, Any]) -> None:
        document["files"].update({str(n): document["files"][MODEL_ONNX] for n in range(1001)})

    forge(folder, change)


def nested(text: str) -> str:
    return text.replace('"labels"', '"x": ' + '{"a":' * 900 + "1" + "}" * 900 + ', "labels"')


def taller(model: onnx.ModelProto) -> None:
    model.graph.input[0].type.tensor_type.shape.dim[2].dim_value = 9


HOSTILE: dict[str, tuple[Spoil, str]] = {
    "a name above the folder": (with_name("../../canary"), "outside the bundle"),
    "an absolute name": (with_name("/etc/passwd"), "outside the bundle"),
    "a name for Windows": (with_name("..\\..\\canary"), "outside the bundle"),
    "a drive": (with_name("C:canary"), "has one of"),
    "a NUL in a name": (with_name("model.onnx\0.txt"), "cannot be seen"),
    "a name that turns around": (with_name("model\u202exnno.exe"), "cannot be seen"),
    "a device's name": (with_name("con.txt"), "is a device"),
    "no name": (with_name(""), "no name"),
    "the same place again": (with_name("./model.onnx"), "no name"),
    "two names of one file by case": (with_name("Model.ONNX"), "may be the same file"),
    "two names of one file by form": (both("\u00e9.bin", "e\u0301.bin"), "may be the same file"),
    "bundle.json in its own list": (with_name(BUNDLE_JSON), "may be the same file"),
    "a link out": (linked("/etc/hostname"), "symbolic link"),
    "a link to nowhere": (linked("gone"), "symbolic link"),
    "a link to a device": (linked("/dev/zero"), "symbolic link"),
    "a folder that is a link": (behind_a_link, "symbolic link"),
    "a pipe for a model": (a_pipe(MODEL_ONNX), "a pipe"),
    "a pipe for bundle.json": (a_pipe(BUNDLE_JSON), "a pipe"),
    "a folder for a model": (a_folder, "a folder"),
    "an exabyte": (lambda f: listed(f, "x", b"", size=2**60), "are allowed"),
    "less than nothing": (lambda f: listed(f, "x", b"", size=-1), "are allowed"),
    "too much together": (
        lambda f: [listed(f, f"x{n}", b"", size=2**31) for n in range(5)] and None,
        "together",
    ),
    "too many files": (
        too_many,
        "1000 are allowed",
    ),
    "another size": (lambda f: listed(f, MODEL_ONNX, b"", size=17), "bytes instead of 17"),
    "a checksum that is none": (
        with_document(lambda d: d["files"][MODEL_ONNX].update(sha256="../x")),
        "no sha256",
    ),
    "a huge bundle.json": (with_text(lambda text: text + " " * 2**22), "are allowed"),
    "brackets without end": (with_text(lambda _: "[" * 100_000), "cannot be read"),
    "brackets inside": (
        with_text(nested),
        "",
    ),
    "one name twice": (
        with_text(lambda text: text.replace('"labels"', '"bundle_id": "other", "labels"')),
        "stands twice",
    ),
    "not a number": (
        with_document(lambda d: d["calibration"].update(temperature=float("nan"))),
        "NaN",
    ),
    "an infinite number": (
        with_text(lambda text: text.replace('"temperature": 2.0', '"temperature": 1e999')),
        "not a finite number",
    ),
    "a number of ten thousand digits": (
        with_text(lambda text: text.replace('"n": 30', '"n": ' + "9" * 10_000, 1)),
        "cannot be read",
    ),
    "a number of a thousand digits": (
        with_document(lambda d: d["calibration"].update(temperature=10**1000)),
        "too large",
    ),
    "a schema of the future": (with_document(lambda d: d.update(schema_version=2)), "newer kennel"),
    "half a letter": (
        with_document(lambda d: d["labels"].__setitem__(0, "\udc80")),
        "cannot be read",
    ),
    "half a letter, spelled": (
        with_text(lambda text: text.replace('"tiny"', '"\\ud800"', 1)),
        "",
    ),
    "an id that is a path": (
        with_document(lambda d: d.update(bundle_id="../../canary")),
        "bundle_id",
    ),
    "another number of labels": (
        with_document(lambda d: d["labels"].append("violet")),
        "for 4 labels",
    ),
    "a bank of another size": (
        with_document(lambda d: d["rejection"]["bank"].update(rows=2**40)),
        "rows of 3 features need",
    ),
    "a bank of nothing listed": (
        with_document(lambda d: d["rejection"]["bank"].update(file="/etc/passwd")),
        "files has no /etc/passwd",
    ),
    "a bank of other features": (
        with_document(lambda d: d["rejection"]["bank"].update(rows=1, features=9)),
        "needs: its bank has 9",
    ),
    "labels that the model lacks": (more_labels, "shape"),
    "another input": (
        with_model(taller),
        "shape",
    ),
    "an input more": (
        with_model(lambda m: m.graph.input.append(helper.make_tensor_value_info("x", 1, [1]))),
        "inputs",
    ),
    "another output": (
        with_model(lambda m: m.graph.output[0].__setattr__("name", "other")),
        "outputs",
    ),
    "weights above the folder": (in_weight(external("../outside")), "outside of the file"),
    "weights in /etc": (in_weight(external("/etc/passwd")), "outside of the file"),
    "weights beside the model": (in_weight(external("weights.bin")), "outside of the file"),
    "weights anywhere in memory": (
        in_weight(external("*/_ORT_MEM_ADDR_/*")),
        "outside of the file",
    ),
    "a branch with weights outside": (with_model(in_subgraph), "outside of the file"),
    "a constant with numbers outside": (with_model(in_constant), "outside of the file"),
    "a place that parsers cut to size": (with_model_bytes(cut_location), "outside of the file"),
    "a graph that parsers merge": (with_model_bytes(cut_to_external), "stands twice"),
    "a sparse bomb": (with_model(sparse), "sparse"),
    "a shape of terabytes": (
        in_weight(lambda t: t.dims.__setitem__(slice(None), [1 << 40, 1 << 40])),
        "more than the file",
    ),
    "a shape that is not its weights'": (
        in_weight(lambda t: t.dims.__setitem__(0, 4)),
        "numbers for",
    ),
    "weights that are not a number": (in_weight(filled(np.nan)), "not a number"),
    "infinite weights": (in_weight(filled(np.inf)), "infinite"),
    "halves that are not a number": (in_weight(filled(np.nan, np.float16)), "not a number"),
    "doubles that are not a number": (in_weight(filled(np.nan, np.float64)), "not a number"),
    "typed floats": (in_weight(typed(TensorProto.FLOAT, [0.0] * 8 + [np.nan])), "not a number"),
    "typed doubles": (in_weight(typed(TensorProto.DOUBLE, [0.0] * 8 + [np.inf])), "infinite"),
    "typed halves": (in_weight(typed(TensorProto.FLOAT16, [0.0] * 8 + [np.nan])), "not a number"),
    "bfloat16": (in_weight(bfloat16), "not a number"),
    "an operator from elsewhere": (operator("Relu", "com.example"), "com.example"),
    "a program for an accelerator": (operator("EPContext", "com.microsoft"), "holds a program"),
    "a billion laughs": (with_model(laughs), "operators of its own"),
    "graphs in graphs": (with_model(deep), "deep"),
    "onnxruntime's own format": (with_model_bytes(own_format), "own format"),
    "a pickle for a model": (with_model_bytes(lambda _: PICKLE), "is refused"),
    "a pickle for bundle.json": (
        lambda f: (f / BUNDLE_JSON).write_bytes(PICKLE) and None,
        "cannot be read",
    ),
    "an empty model": (with_model_bytes(lambda _: b""), "no graph"),
    "half a model": (with_model_bytes(lambda content: content[: len(content) // 2]), "cut off"),
    "a length without end": (
        with_model_bytes(lambda content: content + b"\x72" + b"\xff" * 12),
        "64 bits",
    ),
    "a field that nobody knows": (
        with_model_bytes(lambda c: c + as_message(15, b"x")),
        "not known",
    ),
    "fields without end": (
        with_model_bytes(lambda c: c + as_message(14, b"") * 300_000),
        "fields",
    ),
    "a group": (with_model_bytes(lambda content: content + bytes([7 << 3 | 3])), "wire type"),
}
