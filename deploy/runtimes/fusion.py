"""Which of a file's nodes does each node of the graph stand for that the runtime made of it?

Runtimes fuse, rename and insert nodes. Three things survive: names of nodes, names of values, and how they hang
together. What is claimed by name is certain; a fused node is claimed together with what lies between the values that it
reads and writes; what is left over joins its neighbour as runtimes fuse: activations and sums go to what they follow.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from deploy.runtimes.onnx_graph import Graph, Node

# They only move data: such a node stands for a node of the file only where that is of the same operator.
_MOVES = frozenset({"ReorderInput", "ReorderOutput", "MemcpyFromHost", "MemcpyToHost", "Transpose", "Cast", "Identity"})
# What an activation or a sum can be fused into; none of them is ever fused into what comes before it.
_HEADS = frozenset(
    (
        *("Conv", "ConvTranspose", "Gemm", "MatMul", "SparseConv", "SparseMatMul"),
        *("ConvInteger", "MatMulInteger", "QLinearConv", "QLinearMatMul"),
        *("AveragePool", "MaxPool", "GlobalAveragePool", "GlobalMaxPool"),
    )
)
_TOKEN = re.compile(r"_token_\d+$")  # what ONNX Runtime appends where an operator is made anew under an old name
_NCHWC = "_nchwc"  # ONNX Runtime's blocked layout: the node is named after a value of the file


def assign(file: Graph, made: Graph) -> list[tuple[Node, ...]]:
    """Return, for each node of ``made``, the nodes of ``file`` that it stands for, in the file's order.

    Every node of the file that needs one of its inputs is in exactly one place; those that do not are computed when the
    file is loaded, and are left out. A node that the runtime put in itself stands for none.
    """
    work = _Assignment(file, made)
    work.claim_by_name()
    work.claim_by_value()
    work.claim_by_weight()
    work.claim_regions()
    work.claim_heads()
    work.claim_rest()
    found: list[list[Node]] = [[] for _ in made.nodes]
    for index, node in enumerate(file.nodes):
        if index in work.owner:
            found[work.owner[index]].append(node)
    return [tuple(nodes) for nodes in found]


class _Assignment:
    def __init__(self, file: Graph, made: Graph) -> None:
        self.file, self.made = file, made
        self.maker = {value: index for index, node in enumerate(file.nodes) for value in node.writes}
        self.readers: dict[str, list[int]] = {}
        for index, node in enumerate(file.nodes):
            for value in dict.fromkeys(node.reads):
                self.readers.setdefault(value, []).append(index)
        live = {id(node) for node in file.live_nodes()}
        self.live = {index for index, node in enumerate(file.nodes) if id(node) in live}
        self.owner: dict[int, int] = {}

    def claim_by_name(self) -> None:
        """A node kept its name; or its outputs are named after the nodes that it replaces, or it after their value."""
        named = {node.name: index for index, node in enumerate(self.file.nodes) if _is_named(node, index)}
        for index, node in enumerate(self.made.nodes):
            if _is_named(node, index) and node.name in named:
                self._claim(named[node.name], index)
            if node.operator not in _MOVES:
                self._claim(named.get(_TOKEN.sub("", node.name)), index)
            if node.name.endswith(_NCHWC):
                self._claim(self.maker.get(node.name[: -len(_NCHWC)]), index)
            if node.operator == "Split":
                for value in node.writes:
                    self._claim(named.get(value), index)

    def claim_by_value(self) -> None:
        """A node writes a value of the file."""
        for index, node in enumerate(self.made.nodes):
            for value in node.writes:
                self._claim(self.maker.get(value), index)

    def claim_by_weight(self) -> None:
        """A node reads a weight that one node of the file reads."""
        for index, node in enumerate(self.made.nodes):
            for value in node.reads:
                if value in self.file.weights and len(self.readers.get(value, ())) == 1:
                    self._claim(self.readers[value][0], index)

    def claim_regions(self) -> None:
        """A fused node stands for all that lies between what it reads and what it writes, where both are known."""
        for index, node in enumerate(self.made.nodes):
            known = {value for value in node.reads if value in self.maker or value in self.file.inputs}
            starts = [self.maker[value] for value in node.writes if value in self.maker]
            inner = self._between(known, [start for start in starts if self.owner.get(start) == index], index)
            for found in inner:
                self._claim(found, index)

    def claim_heads(self) -> None:
        """A convolution or product whose name is gone lives on in the activation that follows it."""
        for index in reversed(range(len(self.file.nodes))):
            if index in self.owner or self.file.nodes[index].operator not in _HEADS or index not in self.live:
                continue
            chain = [index]
            while len(followers := self._followers(chain[-1])) == 1 and followers[0] not in self.owner:
                chain.append(followers[0])
            if len(followers) == 1:
                for found in chain:
                    self._claim(found, self.owner[followers[0]])

    def claim_rest(self) -> None:
        """What is left goes to the last node that it follows, else to the first that follows it."""
        for index, node in enumerate(self.file.nodes):
            owners = [self.owner[self.maker[value]] for value in node.reads if self.maker.get(value) in self.owner]
            if owners:
                self._claim(index, max(owners))
        for index in reversed(range(len(self.file.nodes))):
            owners = [self.owner[follower] for follower in self._followers(index) if follower in self.owner]
            if owners:
                self._claim(index, min(owners))

    def _claim(self, found: int | None, index: int) -> None:
        if found is None or found in self.owner or found not in self.live:
            return
        operator = self.made.nodes[index].operator
        if operator not in _MOVES or self.file.nodes[found].operator == operator:
            self.owner[found] = index

    def _followers(self, index: int) -> list[int]:
        writes = self.file.nodes[index].writes
        return list(dict.fromkeys(reader for value in writes for reader in self.readers.get(value, ())))

    def _between(self, known: set[str], starts: Iterable[int], index: int) -> set[int]:
        """The file's nodes from ``starts`` back to ``known`` values; none where the way back leads past them."""
        seen: set[int] = set()
        waiting = list(starts)
        while waiting:
            current = waiting.pop()
            if current in seen:
                continue
            seen.add(current)
            for value in self._sources(current):
                if value in known:
                    continue
                maker = self.maker.get(value)
                if maker is None or self.owner.get(maker, index) != index:
                    return set()
                waiting.append(maker)
        return seen

    def _sources(self, index: int) -> Iterator[str]:
        """The values that a node reads and that depend on the file's inputs."""
        for value in self.file.nodes[index].reads:
            if self.maker.get(value) in self.live or value in self.file.inputs:
                yield value


def _is_named(node: Node, index: int) -> bool:
    return node.name != f"{node.operator}#{index}"
