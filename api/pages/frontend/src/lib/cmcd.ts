// How well it plays, as Common Media Client Data (CTA-5004, version 2), told within the beacons:
// on the addresses of segments it would make each viewer's a different one, and no cache would help.

/** The media as the player sees it this moment; bits per second. */
export interface Network {
  /** Of the rung on the screen. */
  bitrate: number;
  /** Of the best rung offered. */
  top: number;
  /** What the player believes the network gives. */
  throughput: number;
  /** The show itself is away: that nothing comes is not the network's doing. */
  excused: boolean;
}

/** Playing, rebuffering, paused, ended: the tokens of `sta`. */
export type State = 'p' | 'r' | 'a' | 'e';

type Value = number | string | boolean | null;

/** A structured-field dictionary (RFC 8941); numbers and tokens are given as they are written. */
function written(members: Record<string, Value>): string {
  return Object.keys(members)
    .sort()
    .filter((key) => members[key] !== null && members[key] !== false)
    .map((key) => (members[key] === true ? key : `${key}=${members[key]}`))
    .join(',');
}

const quoted = (text: string) => `"${text.replace(/["\\]/g, '\\$&')}"`;
const list = (number: number) => (number > 0 ? `(${Math.round(number)})` : null);
const hundreds = (number: number) => Math.round(number / 100) * 100;

/** Adds up one play; `tick` is called a few times a second while it lasts. */
export class PlayQuality {
  private startup: number | null = null;
  private rebuffers = 0;
  private stoodMs = 0;
  private standing = false;
  private top = 0;
  private bits = 0;
  private playedMs = 0;

  constructor(private readonly network: () => Network) {}

  started(startupMs: number | undefined): void {
    this.startup = startupMs ?? null;
  }

  /** `moving`: the picture runs; `starved`: it should, and there is nothing to show. */
  tick(ms: number, moving: boolean, starved: boolean): void {
    const { bitrate, top, excused } = this.network();
    this.top = Math.max(this.top, top);
    if (moving && bitrate > 0) {
      this.bits += bitrate * ms;
      this.playedMs += ms;
    }
    const standing = starved && !excused;
    if (standing && !this.standing) this.rebuffers++;
    if (standing) this.stoodMs += ms;
    this.standing = standing;
  }

  text(state: State, about: { play: string; item: string; live: boolean; bufferedMs: number }): string {
    const { bitrate, top, throughput } = this.network();
    // The standard wants the start-up time once in a session.
    const msd = this.startup;
    this.startup = null;
    return written({
      bg: document.visibilityState === 'hidden',
      bl: list(hundreds(about.bufferedMs)),
      bs: this.standing,
      bsa: `(${this.rebuffers})`,
      bsda: `(${Math.round(this.stoodMs)})`,
      cid: quoted(about.item),
      'cn.xitai-mbr': this.playedMs ? Math.round(this.bits / this.playedMs / 1000) : null,
      msd,
      mtp: list(hundreds(throughput / 1000)),
      pb: list(bitrate / 1000),
      sf: 'h',
      sid: quoted(about.play),
      st: about.live ? 'll' : 'v',
      sta: state,
      tb: list(Math.max(this.top, top) / 1000),
      ts: Date.now(),
      v: 2,
    });
  }
}
