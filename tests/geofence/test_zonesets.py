"""Labels: interned sets and questions."""

import numpy as np

from geofence.zonesets import NOWHERE, Labels


def follow(labels, label, hits):
    """Asks until there is an answer; returns it with the shapes that were asked about."""
    asked = []
    while label < 0:
        nodes = np.array([~label], np.int32)
        shape = int(labels.shapes_to_ask(nodes)[0])
        asked.append(shape)
        label = int(labels.follow(nodes, np.array([shape in hits]))[0])
    return labels.members(label), asked


def test_sets_are_interned_whatever_the_order():
    """The same shapes are the same id; the empty set is NOWHERE."""
    labels = Labels()
    a = labels.with_inside(labels.with_inside(NOWHERE, 5), 2)
    b = labels.with_inside(labels.with_inside(NOWHERE, 2), 5)
    assert a == b
    assert labels.members(a) == (2, 5)
    assert labels.members(NOWHERE) == ()


def test_a_question_leads_to_the_set_of_its_hits():
    """What holds for sure and what was hit, whichever way the branches go and however often they are taken."""
    labels = Labels()
    label = labels.with_inside(labels.with_question(labels.with_question(NOWHERE, 4), 1), 7)
    for _ in range(2):
        assert follow(labels, label, {1, 4}) == ((1, 4, 7), [1, 4])
        assert follow(labels, label, {4}) == ((4, 7), [1, 4])
        assert follow(labels, label, set()) == ((7,), [1, 4])


def test_outside_a_shape_its_nest_is_not_asked_about():
    """Shapes 3, 4, 5 are one nest: a point outside 4 is outside 5, but another nest is still asked about."""
    labels = Labels(nest=3)
    label = NOWHERE
    for shape in (3, 4, 5, 6):
        label = labels.with_question(label, shape)
    assert follow(labels, label, {6}) == ((6,), [3, 6])
    assert follow(labels, label, {3, 6}) == ((3, 6), [3, 4, 6])
    assert follow(labels, label, {3, 4, 5}) == ((3, 4, 5), [3, 4, 5, 6])


def test_tables_grow_without_changing_what_is_there():
    """More questions than the first tables hold; old ones answer as before."""
    labels = Labels()
    made = [labels.with_question(labels.with_inside(NOWHERE, i), i + 1) for i in range(300)]
    for i in (0, 63, 64, 299):
        assert follow(labels, made[i], {i + 1}) == ((i, i + 1), [i + 1])
