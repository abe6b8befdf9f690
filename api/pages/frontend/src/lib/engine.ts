// One video element fed from one HLS address, and kept fed: hls.js where there is MSE, else the
// browser's own HLS. Nothing that goes wrong on the way is final.

import Hls, { type ErrorData, type HlsConfig, type LoadPolicy } from 'hls.js/light';
import type { Network } from './cmcd';

declare const HLS_WORKER_PATH: string;

const REBUILD_AFTER = 3; // fatal errors in a row before starting from a clean player
const MOST_WAIT_MS = 8_000;
const STALL_NUDGE_MS = 4_000;
const STALL_REBUILD_MS = 10_000;
/** Behind by this much beyond its target, a viewer who follows the show is brought back to it. */
const FALL_BEHIND_S = 8;

export type Saver = 'auto' | 'low' | 'sound';

export interface Source {
  url: string;
  /** Follow the live edge; false when watching from the start or a replay. */
  live: boolean;
  /** Seconds to begin at; -1 is the live edge. */
  at: number;
}

export interface EngineEvents {
  /** Asked for media and got none for a while, or got it again. */
  struggling(yes: boolean): void;
  stall(): void;
  levels(): void;
}

function patient(retries: number, firstByteMs: number): LoadPolicy {
  const retry = { maxNumRetry: retries, retryDelayMs: 500, maxRetryDelayMs: MOST_WAIT_MS };
  return {
    default: {
      maxTimeToFirstByteMs: firstByteMs,
      maxLoadTimeMs: 30_000,
      timeoutRetry: { ...retry, retryDelayMs: 0 },
      errorRetry: retry,
    },
  };
}

const CONFIG: Partial<HlsConfig> = {
  workerPath: HLS_WORKER_PATH,
  lowLatencyMode: true,
  // The target is the playlist's PART-HOLD-BACK; the player closes up to it unheard.
  maxLiveSyncPlaybackRate: 1.08,
  liveSyncOnStallIncrease: 0.5,
  backBufferLength: 60,
  maxBufferLength: 30,
  capLevelToPlayerSize: true,
  abrEwmaDefaultEstimate: 1_200_000,
  autoStartLoad: false,
  manifestLoadPolicy: patient(6, 10_000),
  // A blocking reload may rightly be held for several target durations.
  playlistLoadPolicy: patient(10, 20_000),
  fragLoadPolicy: patient(8, 10_000),
};

export class Engine {
  hls: Hls | null = null;
  /** The show itself is away: there is nothing to hurry for, so the player is left standing. */
  waiting = false;
  private source: Source | null = null;
  private saver: Saver = 'auto';
  private loading = false;
  private failures = 0;
  private retryTimer = 0;
  private movedAt = performance.now();
  private lastTime = -1;
  private nudged = false;
  private mediaErrorAt = -Infinity;

  constructor(
    readonly video: HTMLVideoElement,
    private readonly events: EngineEvents,
  ) {
    window.setInterval(() => this.watch(), 1000);
    video.addEventListener('timeupdate', () => {
      if (!video.seeking) this.moved();
    });
    window.addEventListener('online', () => this.retry(0));
  }

  /** Whether this browser can play HLS in any way. */
  static usable(video: HTMLVideoElement): boolean {
    return Hls.isSupported() || video.canPlayType('application/vnd.apple.mpegurl') !== '';
  }

  /** Get ready to play; nothing but the playlists is fetched before `begin`. */
  open(source: Source): void {
    this.source = source;
    this.failures = 0;
    this.build();
  }

  /** Start (or go on) fetching media. */
  begin(): void {
    if (this.loading) return;
    this.loading = true;
    this.moved();
    this.hls?.startLoad(this.source?.at ?? -1);
    if (!this.hls && this.source && !this.video.src) this.native(this.source);
  }

  /** Stop fetching: nobody is watching. */
  rest(): void {
    this.loading = false;
    this.hls?.stopLoad();
  }

  setSaver(saver: Saver): void {
    this.saver = saver;
    if (this.hls) this.cap(this.hls);
  }

  toLiveEdge(): void {
    const edge = this.hls?.liveSyncPosition ?? this.seekableEnd();
    if (edge !== null && Number.isFinite(edge)) this.video.currentTime = edge;
  }

  /** Live viewers came back from a pause: follow the show again. */
  get behind(): number {
    return this.hls?.latency ?? 0;
  }

  get rendition(): string {
    const hls = this.hls;
    if (!hls) return this.video.src ? 'native' : '';
    const level = hls.levels[hls.currentLevel];
    if (!level) return '';
    return level.height ? `${level.height}p` : 'audio';
  }

  /** What is played and what could be, in bits per second; zeros where hls.js does not play. */
  get network(): Network {
    const { hls, waiting: excused } = this;
    const rates = hls?.levels.map((level) => level.bitrate) ?? [];
    return {
      bitrate: rates[hls?.currentLevel ?? -1] ?? 0,
      top: Math.max(0, ...rates),
      throughput: hls?.bandwidthEstimate || 0,
      excused,
    };
  }

  /** Try again from what is there; called when the show is known to be back. */
  revive(): void {
    if (!this.loading) return;
    if (performance.now() - this.movedAt > 2_500) this.retry(0);
  }

  private build(): void {
    window.clearTimeout(this.retryTimer);
    this.hls?.destroy();
    this.hls = null;
    const source = this.source;
    if (!source) return;
    this.moved();
    if (!Hls.isSupported()) {
      if (this.loading) this.native(source);
      return;
    }
    // A <source> child would make the browser try by itself.
    this.video.querySelectorAll('source').forEach((child) => child.remove());
    const hls = new Hls({ ...CONFIG, startPosition: source.at });
    this.hls = hls;
    hls.on(Hls.Events.ERROR, (_, data) => this.onError(hls, data));
    hls.on(Hls.Events.MANIFEST_PARSED, () => {
      this.cap(hls);
      this.events.levels();
      if (this.loading) hls.startLoad(source.at);
    });
    hls.on(Hls.Events.FRAG_BUFFERED, () => {
      this.failures = 0;
      this.events.struggling(false);
    });
    hls.loadSource(source.url);
    hls.attachMedia(this.video);
  }

  /** Phones whose browser plays HLS itself (iOS, many inside WeChat). */
  private native(source: Source): void {
    this.video.src = source.url;
    if (source.at >= 0 && source.at !== this.video.currentTime) {
      this.video.addEventListener('loadedmetadata', () => (this.video.currentTime = source.at), {
        once: true,
      });
    }
    this.video.onerror = () => this.fail();
  }

  private cap(hls: Hls): void {
    if (this.saver !== 'low') {
      hls.autoLevelCapping = -1;
      return;
    }
    const rates = hls.levels.map((level) => level.bitrate);
    hls.autoLevelCapping = rates.indexOf(Math.min(...rates));
    hls.nextLevel = -1;
  }

  private onError(hls: Hls, data: ErrorData): void {
    if (hls !== this.hls || !data.fatal) return;
    if (data.type === Hls.ErrorTypes.MEDIA_ERROR && performance.now() - this.mediaErrorAt > 20_000) {
      this.mediaErrorAt = performance.now();
      hls.recoverMediaError();
      return;
    }
    this.fail();
  }

  /** Once more, later each time; from a clean player when the gentle way has not helped. */
  private fail(): void {
    this.failures++;
    this.events.struggling(true);
    this.retry(Math.min(500 * 2 ** Math.min(this.failures, 5), MOST_WAIT_MS) * (0.7 + Math.random() * 0.6));
  }

  private retry(ms: number): void {
    window.clearTimeout(this.retryTimer);
    this.retryTimer = window.setTimeout(() => {
      const hls = this.hls;
      if (!this.source) return;
      if (hls && hls.levels.length && this.failures < REBUILD_AFTER) {
        hls.startLoad(this.source.live ? -1 : this.video.currentTime);
        return;
      }
      this.rebuild();
    }, ms);
  }

  private rebuild(): void {
    if (!this.source) return;
    const playing = !this.video.paused;
    if (!this.source.live && this.video.currentTime > 0) {
      this.source = { ...this.source, at: this.video.currentTime };
    }
    this.build();
    if (playing && this.loading) void this.video.play().catch(() => undefined);
  }

  private moved(): void {
    this.movedAt = performance.now();
    this.nudged = false;
  }

  /** Once a second: is it moving, and is it where it should be? */
  private watch(): void {
    const { video } = this;
    if (!this.loading || video.paused || video.ended) {
      this.movedAt = performance.now();
      return;
    }
    // A seek that never ends is a stall like any other: hls.js's own nudge may begin one.
    if (video.currentTime !== this.lastTime && !video.seeking) {
      this.lastTime = video.currentTime;
      this.moved();
      this.closeUp();
      return;
    }
    if (this.waiting) return;
    const still = performance.now() - this.movedAt;
    if (still > STALL_NUDGE_MS && !this.nudged) {
      this.nudged = true;
      this.events.stall();
      this.nudge();
    }
    if (still > STALL_REBUILD_MS) {
      this.events.struggling(true);
      this.rebuild();
    }
  }

  /** Step over a hole, or to the edge when the show has gone on without us. */
  private nudge(): void {
    const { video } = this;
    for (let i = 0; i < video.buffered.length; i++) {
      const start = video.buffered.start(i);
      if (start > video.currentTime && start - video.currentTime < 30) {
        video.currentTime = start + 0.05;
        return;
      }
    }
    const edge = this.hls?.liveSyncPosition;
    if (this.source?.live && edge && edge > video.currentTime + 1) video.currentTime = edge;
    this.hls?.startLoad(-1);
  }

  private closeUp(): void {
    const hls = this.hls;
    if (!hls || !this.source?.live || hls.targetLatency === null) return;
    if (hls.latency - hls.targetLatency > FALL_BEHIND_S && this.video.playbackRate !== 0) this.toLiveEdge();
  }

  private seekableEnd(): number | null {
    const { seekable } = this.video;
    return seekable.length ? seekable.end(seekable.length - 1) - 3 : null;
  }
}
