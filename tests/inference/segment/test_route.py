"""Ways through a volume: every object on each of its slices once, in the order that each way needs."""

from collections import Counter

import numpy as np
import pytest

from inference.segment.extent import Extents
from inference.segment.route import flatten, propagate

LOW = np.array([2, 4, 0, 7])
HIGH = np.array([6, 4, 9, 8])
EXTENTS = Extents(LOW, (LOW + HIGH) // 2, HIGH, np.zeros(4, bool))
CHOSEN = np.array([0, 2, 0, 1])
ALL = np.arange(4)


def goes(route):
    """How often each object is segmented on each slice."""
    return Counter((visit.z, int(i)) for visit in route.visits for view in visit.views for i in view.objects)


ONCE = Counter((z, i) for i in range(4) for z in range(LOW[i], HIGH[i] + 1))


@pytest.mark.parametrize("lanes", [1, 2, 3])
def test_flattening_segments_every_object_once_on_each_of_its_slices(lanes):
    route = flatten(ALL, EXTENTS, CHOSEN, lanes)
    assert goes(route) == ONCE
    assert len(route.starts) == lanes
    assert max(Counter(visit.z for visit in route.visits).values()) == 1  # each slice at one go
    assert not route.sweeps


def test_propagation_segments_every_object_once_on_each_of_its_slices():
    assert goes(propagate(ALL, EXTENTS, CHOSEN)) == ONCE


def test_propagation_starts_on_middle_slices_and_walks_outward():
    route = propagate(ALL, EXTENTS, CHOSEN)
    starts = {chain[0].z: [int(i) for view in chain[0].views for i in view.objects] for chain in route.starts}
    assert starts == {4: [0, 2, 1], 7: [3]}  # 0 and 2 share the whole image, 1 has a window of its own
    assert all(len(chain) == 1 for chain in route.starts)
    up, down = ([visit.z for visit in chain] for chain in route.sweeps)
    assert up == sorted(up)
    assert down == sorted(down, reverse=True)


def test_a_view_holds_the_objects_of_one_window():
    for visit in propagate(ALL, EXTENTS, CHOSEN).visits:
        assert [view.window for view in visit.views] == sorted({view.window for view in visit.views})
        for view in visit.views:
            assert set(CHOSEN[view.objects]) == {view.window}


@pytest.mark.parametrize("way", [lambda *a: flatten(*a, 2), propagate])
def test_only_objects_that_take_part_are_visited(way):
    assert goes(way(np.array([1, 3]), EXTENTS, CHOSEN)) == Counter({(4, 1): 1, (7, 3): 1, (8, 3): 1})
    assert not list(way(np.array([], np.intp), EXTENTS, CHOSEN).visits)


def test_objects_of_one_slice_need_no_sweep():
    assert propagate(np.array([1]), EXTENTS, CHOSEN).sweeps == []
