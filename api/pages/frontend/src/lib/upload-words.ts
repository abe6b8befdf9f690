// Sizes, speeds and times left as people say them; the sentences come from the server's HTML.

export type Words = Record<string, string>;

export function filled(words: Words, key: string, facts: Record<string, string | number> = {}): string {
  const text = words[key] ?? '';
  return text.replace(/\{(\w+)\}/g, (whole, name: string) => String(facts[name] ?? whole));
}

export function size(bytes: number): string {
  const units: [string, number][] = [['GB', 1e9], ['MB', 1e6], ['KB', 1e3]];
  for (const [unit, one] of units) {
    if (bytes >= one) return `${(bytes / one).toFixed(bytes / one < 10 ? 1 : 0)} ${unit}`;
  }
  return `${bytes} B`;
}

export function left(words: Words, seconds: number): string {
  if (!Number.isFinite(seconds)) return '';
  if (seconds < 60) return filled(words, 'left_s', { n: Math.max(1, Math.ceil(seconds / 5) * 5) });
  const minutes = Math.round(seconds / 60);
  if (minutes < 60) return filled(words, 'left_m', { n: minutes });
  return filled(words, 'left_h', { h: Math.floor(minutes / 60), m: minutes % 60 });
}

/** Bytes a second over the last few seconds; what came before a pause does not count. */
export class Speed {
  private samples: [number, number][] = [];

  constructor(private readonly windowMs = 8_000) {}

  reset(): void {
    this.samples = [];
  }

  add(bytes: number, now = performance.now()): void {
    const last = this.samples[this.samples.length - 1];
    if (last && bytes < last[1]) this.reset(); // a piece is sent again
    if (!last || now - last[0] > 200 || bytes < last[1]) this.samples.push([now, bytes]);
    while (this.samples.length > 2 && now - this.samples[0]![0] > this.windowMs) this.samples.shift();
  }

  get(): number {
    const first = this.samples[0];
    const last = this.samples[this.samples.length - 1];
    if (!first || !last || last[0] - first[0] < 500) return 0;
    return ((last[1] - first[1]) / (last[0] - first[0])) * 1000;
  }
}
