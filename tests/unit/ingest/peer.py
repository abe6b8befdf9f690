"""Two cores joined in memory: a publisher and the server, no sockets and no clock but `now`."""

from dataclasses import dataclass, field

from ingest.rtmp import Event, Limits, MediaTag, PublishRequested, ServerSession
from ingest.rtmp.client import ClientEvent, ClientSession, Habits


def fixed_rng(size: int) -> bytes:
    """Random filling that is the same in every run."""
    return bytes(i * 7 & 0xFF for i in range(size))


@dataclass(slots=True)
class Pair:
    """A publisher and a server with a wire between them."""

    app: str = "live"
    stream_name: str = "key"
    habits: Habits = field(default_factory=Habits)
    limits: Limits = field(default_factory=Limits)
    tc_url: str = ""
    now: float = 100.0
    accept: bool = True
    server: ServerSession = field(init=False)
    client: ClientSession = field(init=False)
    events: list[Event] = field(default_factory=list, init=False)
    client_events: list[ClientEvent] = field(default_factory=list, init=False)

    def __post_init__(self) -> None:
        self.server = ServerSession(limits=self.limits, now=self.now, rng=fixed_rng)
        self.client = ClientSession(
            self.app, self.stream_name, self.tc_url, self.habits, rng=fixed_rng
        )

    def pump(self) -> list[Event]:
        """Carry bytes both ways until nobody has anything to say. Returns the server's events."""
        new: list[Event] = []
        while True:
            wire = self.client.bytes_to_send()
            for event in self.server.receive_data(wire, self.now):
                new.append(event)
                if isinstance(event, PublishRequested) and self.accept:
                    self.server.accept_publish(self.now)
            answer = self.server.bytes_to_send()
            self.client_events += self.client.receive_data(answer)
            if not wire and not answer:
                self.events += new
                return new

    def publish(self) -> "Pair":
        self.pump()
        return self

    def tags(self) -> list[tuple[int, int, bytes]]:
        return [(e.kind, e.timestamp_ms, e.payload) for e in self.events if isinstance(e, MediaTag)]
