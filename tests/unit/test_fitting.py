"""Which notebook starts beside which: slots, memory, groups; no notebook waits for ever."""

from __future__ import annotations

from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as some

from nbpipe.execution.kernels.capacity import Need, Room, Running, choose

GIB = 1 << 30


def need(memory: float = 0, slots: int = 1, *groups: str) -> Need:
    return Need(slots=slots, memory=int(memory * GIB), groups=frozenset(groups))


def room(memory: float, slots: int = 4) -> Room:
    return Room(slots, int(memory * GIB))


def test_the_first_one_starts_where_it_fits() -> None:
    assert choose([need(3), need(1)], [Running(need(1))], room(4)) == (0, None)


def test_nothing_starts_without_a_slot() -> None:
    assert choose([need(0)], [Running(need(0, 2))], room(4, slots=2)) is None


def test_nothing_starts_where_nothing_waits() -> None:
    assert choose([], [], room(4)) is None


def test_a_small_one_uses_the_room_that_the_first_cannot_use() -> None:
    big, small = need(3), need(1)
    assert choose([big, small], [Running(need(2))], room(4)) == (1, big)


def test_what_would_keep_the_first_one_waiting_does_not_overtake_it() -> None:
    assert choose([need(3), need(1.5)], [Running(need(2))], room(4)) is None


def test_overtakers_are_counted_together() -> None:
    big = need(3)
    running = [Running(need(2)), Running(need(0.75), overtook=big)]
    assert choose([big, need(0.5), need(0.25)], running, room(4)) == (2, big)


def test_who_overtook_another_does_not_count() -> None:
    big = need(3)
    running = [Running(need(2)), Running(need(0.75), overtook=need(9))]
    assert choose([big, need(0.5)], running, room(4)) == (1, big)


def test_nothing_overtakes_what_needs_everything() -> None:
    assert choose([need(4), need(0.1)], [Running(need(1))], room(4)) is None


def test_a_group_at_work_is_overtaken_even_by_what_is_large() -> None:
    waiting = [need(1, 1, "db"), need(3)]
    assert choose(waiting, [Running(need(1, 1, "db"))], room(4)) == (1, None)


def test_a_group_of_the_head_is_kept_for_it() -> None:
    waiting = [need(3, 1, "db"), need(0.5, 1, "db"), need(0.5)]
    head = waiting[0]
    assert choose(waiting, [Running(need(2))], room(4)) == (2, head)


def test_a_heavy_one_waits_for_its_slots_and_others_pass_beside_it() -> None:
    heavy = need(0, 3)
    running = [Running(need(0, 2))]
    assert choose([heavy, need(0), need(0)], running, room(0)) == (1, heavy)
    running.append(Running(need(0), overtook=heavy))
    assert choose([heavy, need(0)], running, room(0)) is None


def test_where_nothing_runs_the_first_starts_whatever_is_left() -> None:
    assert choose([need(3)], [], room(4), available=0) == (0, None)


def test_a_machine_that_has_less_left_than_planned_is_believed() -> None:
    running = [Running(need(1))]
    assert choose([need(2)], running, room(4), available=GIB) is None
    assert choose([need(2)], running, room(4), available=2 * GIB) == (0, None)
    assert choose([need(2), need(1)], running, room(4), available=GIB)[0] == 1  # type: ignore[index]


def test_more_than_there_is_counts_as_all_there_is() -> None:
    capped = room(4, slots=2).capped(need(9, 5, "g"))
    assert (capped.slots, capped.memory, capped.groups) == (2, 4 * GIB, {"g"})


@dataclass
class Simulation:
    """Runs needs to their end; which of those that run ends next is drawn."""

    everything: Room
    waiting: list[Need]
    running: list[Running] = field(default_factory=list)
    done: int = 0

    def fill(self, available: int | None) -> None:
        while chosen := choose(self.waiting, self.running, self.everything, available=available):
            place, head = chosen
            started = self.waiting.pop(place)
            self.running.append(Running(started, overtook=head))
            left = self.everything.without(each.need for each in self.running)
            assert left.slots >= 0
            assert left.memory >= 0
            groups = [group for each in self.running for group in each.need.groups]
            assert len(groups) == len(set(groups))

    def head(self) -> Need | None:
        busy = {group for each in self.running for group in each.need.groups}
        return next((each for each in self.waiting if busy.isdisjoint(each.groups)), None)


NEEDS = some.builds(
    Need,
    slots=some.sampled_from([1, 1, 1, 2, 5]),
    memory=some.integers(0, 12),
    groups=some.sampled_from([frozenset(), frozenset(), frozenset("a"), frozenset("ab")]),
)


@settings(deadline=None)
@given(some.lists(NEEDS, max_size=12), some.integers(1, 4), some.integers(1, 9), some.data())
def test_everything_runs_and_never_too_much_at_once(
    needs: list[Need], slots: int, memory: int, data: some.DataObject
) -> None:
    everything = Room(slots, memory)
    simulation = Simulation(everything, [everything.capped(each) for each in needs])
    while simulation.waiting or simulation.running:
        simulation.fill(data.draw(some.none() | some.integers(0, 9)))
        assert simulation.running, "a deadlock"
        simulation.running.remove(data.draw(some.sampled_from(simulation.running)))
        simulation.done += 1
    assert simulation.done == len(needs)


@settings(deadline=None)
@given(some.lists(NEEDS, min_size=4, max_size=8), some.integers(2, 4), some.just(9), some.data())
def test_the_head_waits_for_nothing_but_what_ran_before_it(
    needs: list[Need], slots: int, memory: int, data: some.DataObject
) -> None:
    everything = Room(slots, memory)
    order = [everything.capped(each) for each in needs]
    simulation = Simulation(everything, [*order])
    head, before = None, set()
    while simulation.waiting or simulation.running:
        simulation.fill(None)
        running = {each.need for each in simulation.running}
        if simulation.head() is not head:
            head, before = simulation.head(), running
        if head is not None:  # what had waited for a group before it has its turn before it
            before |= running & {*order[: order.index(head)]}
            assert before & running
        simulation.running.remove(data.draw(some.sampled_from(simulation.running)))
