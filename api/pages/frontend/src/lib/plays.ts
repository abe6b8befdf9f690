// Play beacons: every event is kept in localStorage until the server has said yes to it.
// Events carry their own id, so sending one twice counts once.

import { PlayQuality, type Network, type State } from './cmcd';
import { jitter, store, uuid } from './dom';

const URL = '/api/v1/plays';
const PREFIX = 'xitai.play.';
const VIEWER = 'xitai.viewer';
const MOST_KEPT = 400;
const BATCH = 40;
const HEARTBEAT_MS = 10_000;
const QUALITY_EVERY = 3; // heartbeats
const RETRY_MS = [2_000, 5_000, 15_000, 60_000];

export type PlayKind = 'view' | 'start' | 'heartbeat' | 'pause' | 'seek' | 'rate' | 'end' | 'stall';

export interface PlayEvent {
  event_id: string;
  play_id: string;
  viewer_id: string;
  item: string;
  kind: PlayKind;
  at_ms: number;
  position_ms: number;
  watched_ms: number;
  rate: number;
  live: boolean;
  rendition: string;
  buffered_ms: number;
  visible: boolean;
  startup_ms?: number;
  stalls?: number;
  cmcd?: string;
}

/** What became of a batch: whether the server has it, or will never take it; when to come again. */
interface Answer {
  status: number;
  afterMs: number;
}

/** Sends what is kept, oldest first; one at a time, backing off while the server is away. */
class Outbox {
  private memory = new Map<string, string>(); // when localStorage is forbidden
  private busy = false;
  private failures = 0;
  private timer = 0;
  private batch = BATCH;

  add(event: PlayEvent): void {
    const key = `${PREFIX}${event.at_ms}.${event.event_id}`;
    const text = JSON.stringify(event);
    const kept = this.keys();
    // A bounded queue: the oldest heartbeats tell least, and go first.
    for (let over = kept.length - MOST_KEPT + 1; over > 0; over--) {
      const least = kept.findIndex((k) => this.read(k)?.includes('"heartbeat"'));
      const gone = kept.splice(Math.max(0, least), 1)[0];
      if (gone) this.remove(gone);
    }
    if (!store.set(key, text)) this.memory.set(key, text);
    this.soon(200);
  }

  soon(ms: number): void {
    if (this.busy || this.timer) return;
    this.timer = window.setTimeout(() => {
      this.timer = 0;
      void this.flush();
    }, ms);
  }

  /** The page is going: hand over what there is without waiting for an answer. */
  last(): void {
    const keys = this.keys().slice(-BATCH);
    if (keys.length && navigator.sendBeacon) {
      navigator.sendBeacon(URL, new Blob([this.body(keys)], { type: 'application/json' }));
    }
  }

  private async flush(): Promise<void> {
    const keys = this.keys().slice(0, this.batch);
    if (!keys.length) return;
    this.busy = true;
    const { status, afterMs } = await this.post(keys);
    this.busy = false;
    // What the server will never take would hold back all that follows.
    const refused = status === 400 || status === 422 || (status === 413 && keys.length === 1);
    if ((status >= 200 && status < 300) || refused) {
      keys.forEach((key) => this.remove(key));
      this.failures = 0;
      this.batch = BATCH;
    } else {
      this.failures++;
      if (status === 413) this.batch = Math.ceil(keys.length / 2);
    }
    // Not in step: after a server that was away a whole audience comes back.
    const pause = RETRY_MS[Math.min(this.failures, RETRY_MS.length) - 1] ?? 60_000;
    const wait = this.failures ? Math.max(afterMs, jitter(pause)) : 50;
    if (this.keys().length) this.soon(wait);
  }

  private async post(keys: string[]): Promise<Answer> {
    try {
      const answer = await fetch(URL, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: this.body(keys),
        keepalive: true,
      });
      const seconds = Number(answer.headers.get('retry-after')) || 0;
      // A hotel's sign-in page says 200 to everything, and has kept nothing.
      const ours = !answer.redirected && !answer.headers.get('content-type')?.includes('html');
      return { status: ours ? answer.status : 0, afterMs: Math.min(seconds, 300) * 1000 };
    } catch {
      return { status: 0, afterMs: 0 };
    }
  }

  private body(keys: string[]): string {
    const events = keys.map((key) => this.read(key)).filter((text) => text !== null);
    // A clock that is wrong is put right by how far off it was on sending.
    return `{"sent_at_ms":${Date.now()},"events":[${events.join(',')}]}`;
  }

  private read(key: string): string | null {
    return this.memory.get(key) ?? store.get(key);
  }

  private remove(key: string): void {
    this.memory.delete(key);
    store.remove(key);
  }

  private keys(): string[] {
    return [...store.keys(PREFIX), ...this.memory.keys()].sort();
  }
}

function viewer(): string {
  const known = store.get(VIEWER);
  if (known) return known;
  const made = uuid();
  store.set(VIEWER, made);
  return made;
}

export interface Present {
  position_ms: number;
  live: boolean;
  rendition: string;
  buffered_ms: number;
}

/** Follows one video element and tells the outbox what a person did with it. */
export class Plays {
  private readonly outbox = new Outbox();
  private readonly viewerId = viewer();
  private playId = uuid();
  private watched = 0;
  private tickedAt = 0;
  private started = false;
  private pressedAt = 0;
  private stalls = 0;
  private beats = 0;
  private quality: PlayQuality;

  constructor(
    private readonly item: string,
    private readonly video: HTMLVideoElement,
    private readonly present: () => Present,
    private readonly network: () => Network,
  ) {
    this.quality = new PlayQuality(network);
    this.say('view');
    video.addEventListener('playing', () => this.onPlaying());
    video.addEventListener('pause', () => this.started && !video.ended && this.say('pause'));
    video.addEventListener('ended', () => this.started && this.say('end'));
    video.addEventListener('ratechange', () => this.onRate());
    window.setInterval(() => this.tick(), 250);
    window.setInterval(() => this.started && !video.paused && this.say('heartbeat'), HEARTBEAT_MS);
    window.addEventListener('pagehide', () => this.leave());
    window.addEventListener('online', () => this.outbox.soon(0));
  }

  /** The person asked for it: start-up time runs from here. */
  pressed(): void {
    if (!this.started && !this.pressedAt) this.pressedAt = performance.now();
  }

  /** A person moved to another place; catching up with the live edge is not that. */
  sought(): void {
    if (this.started) this.say('seek');
  }

  stalled(): void {
    if (!this.started) return;
    this.stalls++;
    this.say('stall');
  }

  /** A new viewing act: the live show became its replay, or it was begun again. */
  renew(): void {
    this.playId = uuid();
    this.watched = 0;
    this.stalls = 0;
    this.started = false;
    this.pressedAt = 0;
    this.beats = 0;
    this.quality = new PlayQuality(this.network);
  }

  private onPlaying(): void {
    if (this.started) return;
    this.started = true;
    const since = this.pressedAt ? Math.round(performance.now() - this.pressedAt) : undefined;
    this.quality.started(since);
    this.say('start', since);
  }

  private onRate(): void {
    // Small changes are the player closing up to the live edge, not a person's wish.
    if (this.started && Math.abs(this.video.playbackRate - 1) > 0.15) this.say('rate');
  }

  private tick(): void {
    const now = performance.now();
    const past = now - this.tickedAt;
    this.tickedAt = now;
    const moving = !this.video.paused && this.video.readyState >= 3 && !this.video.seeking;
    if (!this.started) return;
    // A suspended page ticks late; what it slept through was not watched.
    const passed = Math.min(past, 1500);
    if (moving) this.watched += passed;
    const starved = !this.video.paused && !this.video.seeking && this.video.readyState < 3;
    this.quality.tick(passed, moving, starved);
  }

  private leave(): void {
    if (this.started && !this.video.paused) {
      this.beats = 0;
      this.say('heartbeat');
    }
    this.outbox.last();
  }

  private say(kind: PlayKind, startup?: number): void {
    const event: PlayEvent = {
      event_id: uuid(),
      play_id: this.playId,
      viewer_id: this.viewerId,
      item: this.item,
      kind,
      at_ms: Date.now(),
      watched_ms: Math.round(this.watched),
      rate: this.video.playbackRate,
      visible: document.visibilityState === 'visible',
      ...this.present(),
    };
    if (startup !== undefined) event.startup_ms = startup;
    if (this.stalls) event.stalls = this.stalls;
    const state = this.worthTelling(kind);
    if (state) {
      const { item, live, buffered_ms: bufferedMs } = event;
      event.cmcd = this.quality.text(state, { play: this.playId, item, live, bufferedMs });
    }
    this.outbox.add(event);
  }

  /** CMCD goes along with changes of state, and twice a minute in between. */
  private worthTelling(kind: PlayKind): State | null {
    if (kind === 'heartbeat') return this.beats++ % QUALITY_EVERY ? null : 'p';
    const states: Partial<Record<PlayKind, State>> = { start: 'p', stall: 'r', pause: 'a', end: 'e' };
    return states[kind] ?? null;
  }
}
