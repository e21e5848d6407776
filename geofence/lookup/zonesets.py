"""What a cell of the grid can say, as one int32 label.

    label >= 0   the id of an interned set of shapes: the answer
    label <  0   ~node of a question: "these shapes hold the point for sure; does this other one, too?"

A question leads, by yes or no, to another label, so asking until the label is an answer takes as many rounds as there
are undecided shapes. Labels are interned and append-only: an id never changes its meaning, and all snapshots of a grid
share them. The branches of a question are laid out when a point first takes them, since of the 2^k answers at a place
where k borders meet few ever occur.

Shapes come in nests of ``nest`` consecutive numbers, outermost first, each within the one before: a point that is
outside one is outside the rest of its nest, and they are not asked about.
"""

from __future__ import annotations

from threading import Lock
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

NOWHERE = 0
"""The id of the empty set."""

_UNSEEN = np.iinfo(np.int32).min
_NO, _YES = 0, 1


class Labels:
    """Sets of shapes and questions about them, interned."""

    def __init__(self, nest: int = 1) -> None:
        self.nest = nest
        self._lock = Lock()
        self._sets: list[tuple[int, ...]] = [()]
        self._set_ids: dict[tuple[int, ...], int] = {(): NOWHERE}
        # A question: the set that holds for sure, and the shapes to ask about, in ascending order, the first one next.
        self._questions: list[tuple[int, tuple[int, ...]]] = []
        self._nodes: dict[tuple[int, tuple[int, ...]], int] = {}
        self._shape = np.zeros(64, np.int32)
        self._next = np.full((2, 64), _UNSEEN, np.int32)

    def members(self, set_id: int) -> tuple[int, ...]:
        """The shapes of a set, ascending."""
        return self._sets[set_id]

    def __len__(self) -> int:
        """Sets and questions that were ever met."""
        return len(self._sets) + len(self._questions)

    def parts(self, label: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """(shapes that hold for sure, shapes to ask about) of a label, each ascending."""
        sure, asked = self._parts(label)
        return self._sets[sure], asked

    def intern(self, inside: tuple[int, ...], asked: tuple[int, ...] = ()) -> int:
        """The label of these parts, in any order."""
        with self._lock:
            return self._label(self._set(tuple(sorted(inside))), tuple(sorted(asked)))

    def relaid(self, labels: list[int], nest: int, inside: tuple[int, ...], asked: tuple[int, ...]) -> list[int]:
        """The labels once, of the shapes of a nest, ``inside`` hold for sure, ``asked`` are asked about, and no others."""
        low, past = nest * self.nest, (nest + 1) * self.nest
        sets: dict[int, int] = {}
        found = []
        for label in labels:
            sure, rest = self._parts(label)
            with self._lock:  # label by label: a reader that needs a branch does not wait for all of them
                known = sets.get(sure)
                if known is None:
                    kept = [shape for shape in self._sets[sure] if not low <= shape < past]
                    known = sets[sure] = self._set(tuple(sorted([*kept, *inside])))
                if rest or asked:
                    rest = tuple(sorted([*(shape for shape in rest if not low <= shape < past), *asked]))
                found.append(self._label(known, rest))
        return found

    def shapes_to_ask(self, nodes: NDArray[np.int32]) -> NDArray[np.int32]:
        """For each question, the shape that decides its next step."""
        return self._shape[nodes]

    def follow(self, nodes: NDArray[np.int32], hits: NDArray[np.bool_]) -> NDArray[np.int32]:
        """The labels that the questions lead to, given whether each one's shape holds the point."""
        branch = hits.view(np.uint8)
        labels = self._next[branch, nodes]
        if labels.size and int(labels.min()) == _UNSEEN:
            for i in np.flatnonzero(labels == _UNSEEN).tolist():
                labels[i] = self._branch(int(nodes[i]), int(branch[i]))
        return labels

    def _branch(self, node: int, branch: int) -> int:
        with self._lock:
            known = int(self._next[branch, node])
            if known != _UNSEEN:
                return known
            sure, asked = self._questions[node]
            shape, rest = asked[0], asked[1:]
            if branch == _YES:
                label = self._label(self._set(tuple(sorted((*self._sets[sure], shape)))), rest)
            else:
                nest = shape // self.nest
                label = self._label(sure, tuple(s for s in rest if s // self.nest != nest))
            self._next[branch, node] = label
            return label

    def _parts(self, label: int) -> tuple[int, tuple[int, ...]]:
        return (label, ()) if label >= 0 else self._questions[~label]

    def _set(self, inside: tuple[int, ...]) -> int:
        sure = self._set_ids.get(inside)
        if sure is None:
            sure = len(self._sets)
            self._sets.append(inside)  # before its id can be found: readers take no lock
            self._set_ids[inside] = sure
        return sure

    def _label(self, sure: int, asked: tuple[int, ...]) -> int:
        if not asked:
            return sure
        question = (sure, asked)
        node = self._nodes.get(question)
        if node is None:
            node = len(self._questions)
            if node == len(self._shape):
                self._grow()
            self._questions.append(question)
            self._shape[node] = asked[0]
            self._nodes[question] = node
        return ~node

    def _grow(self) -> None:
        """Doubles the tables into new arrays; a reader with the old ones at worst lays out a branch again."""
        size = len(self._shape)
        self._shape = np.concatenate([self._shape, np.zeros(size, np.int32)])
        self._next = np.concatenate([self._next, np.full((2, size), _UNSEEN, np.int32)], axis=1)
