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
        self._nest = nest
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

    def with_inside(self, label: int, shape: int) -> int:
        """The label once ``shape`` also holds for sure."""
        with self._lock:
            sure, asked = self._parts(label)
            return self._intern((*self._sets[sure], shape), asked)

    def with_question(self, label: int, shape: int) -> int:
        """The label once ``shape`` must also be asked about."""
        with self._lock:
            sure, asked = self._parts(label)
            return self._intern(self._sets[sure], (*asked, shape))

    def sure(self, label: int) -> int:
        """The id of the set that holds for sure at this label."""
        return self._parts(label)[0]

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
                label = self._intern((*self._sets[sure], shape), rest)
            else:
                nest = shape // self._nest
                label = self._intern(self._sets[sure], tuple(s for s in rest if s // self._nest != nest))
            self._next[branch, node] = label
            return label

    def _parts(self, label: int) -> tuple[int, tuple[int, ...]]:
        return (label, ()) if label >= 0 else self._questions[~label]

    def _intern(self, inside: tuple[int, ...], asked: tuple[int, ...]) -> int:
        inside = tuple(sorted(set(inside)))
        sure = self._set_ids.get(inside)
        if sure is None:
            sure = len(self._sets)
            self._sets.append(inside)  # before its id can be found: readers take no lock
            self._set_ids[inside] = sure
        if not asked:
            return sure
        question = (sure, tuple(sorted(asked)))
        node = self._nodes.get(question)
        if node is None:
            node = len(self._questions)
            if node == len(self._shape):
                self._grow()
            self._questions.append(question)
            self._shape[node] = question[1][0]
            self._nodes[question] = node
        return ~node

    def _grow(self) -> None:
        """Doubles the tables into new arrays; a reader with the old ones at worst lays out a branch again."""
        size = len(self._shape)
        self._shape = np.concatenate([self._shape, np.zeros(size, np.int32)])
        self._next = np.concatenate([self._next, np.full((2, size), _UNSEEN, np.int32)], axis=1)
