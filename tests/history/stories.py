"""Stories of a bar, as the event log keeps them."""

from __future__ import annotations

from sanic_dispatch.core.events import Event
from sanic_dispatch.storage.event_record import LoggedEvent, Payload, logged, payload_of
from tests.support.story import Story


class LoggedStory(Story):
    """A story that is written down."""

    def __init__(self) -> None:
        super().__init__()
        self.told: list[Event] = []
        self.tell(self.told.append)

    @property
    def events(self) -> list[LoggedEvent]:
        """What the event log has of it."""
        self.bus.catch_up()
        return list(map(logged, self.told))

    @property
    def payloads(self) -> list[Payload]:
        """The data of its jobs."""
        self.bus.catch_up()
        found = (payload_of(each.number, each.kind, each.job) for each in self.told)
        return [payload for payload in found if payload]

    def wait(self, seconds: float) -> None:
        """Let time pass."""
        self.loop.run(seconds)


def change_of_mind() -> LoggedStory:
    """Tell of an order that is cancelled while a robot makes it."""
    story = LoggedStory()
    ticket = story.submit()
    story.wait(10)
    story.assign(ticket, story.register("Ada"))
    story.confirm(ticket)
    story.wait(20)
    story.make_progress(ticket, 40, "adding gin")
    story.ask_to_cancel(ticket)
    story.wait(2)
    story.make_progress(ticket, None, "stopping")
    story.stop(ticket)
    return story


def evening() -> LoggedStory:
    """Tell of orders with every end, and some trouble on the way."""
    story = LoggedStory()
    ada = story.register("Ada")
    served, cancelled, failed, doubted, unfinished = (story.submit() for _ in range(5))
    story.wait(10)
    story.assign(served, ada)
    story.wait(1)
    story.confirm(served)
    story.pause()
    story.cancel(cancelled)
    story.wait(60)
    story.finish(served)
    eve = story.register('E<v>e & "Söhne"')
    story.assign(failed, eve)
    story.confirm(failed)
    story.assign(doubted, ada)
    story.doubt(doubted)
    story.wait(5)
    story.fail(failed)
    story.put_back(failed)
    story.assign(failed, eve)
    story.refuse(failed)
    story.assign(failed, ada)
    story.confirm(failed)
    story.wait(30)
    story.fail(failed, "no <ice>\x07 & no rum")
    story.finish(doubted)
    story.move(unfinished, 0.5)
    return story
