// The page's words, as the server wrote them, and times as people read and type them.

import { SECOND } from './model';

export interface Words {
  sure: Record<string, string>;
  piece: string;
  of: string;
  edge: { start: string; end: string };
  minutes: string;
  hours: string;
  lasts: string;
  pick: string;
  open: string;
  mark: string;
  unnamed: string;
  flag: { before_start: string; after_start: string; before_end: string; after_end: string };
  status: { saved: string; proposed: string; changed: string; saving: string; none: string };
  clip: { ready: string; making: string; failed: string };
  offline: string;
  broken: string;
  used: string;
}

export function read<T>(id: string): T {
  return JSON.parse(document.getElementById(id)?.textContent ?? 'null') as T;
}

export function fill(text: string, facts: Record<string, string | number>): string {
  return text.replace(/\{(\w+)\}/g, (whole, name: string) => String(facts[name] ?? whole));
}

const two = (n: number) => String(n).padStart(2, '0');

/** 12:05, 1:02:09. */
export function clock(ticks: number): string {
  const all = Math.floor(ticks / SECOND);
  const [h, m, s] = [Math.floor(all / 3600), Math.floor(all / 60) % 60, all % 60];
  return h ? `${h}:${two(m)}:${two(s)}` : `${m}:${two(s)}`;
}

/** To the hundredth: 12:05.24. */
export function exact(ticks: number): string {
  const hundredths = Math.round((ticks * 100) / SECOND);
  const rest = hundredths % 100;
  return clock(Math.floor(hundredths / 100) * SECOND) + (rest ? `.${two(rest).replace(/0$/, '')}` : '');
}

/** Ticks of 75, 1:15, 1:02:09.5; full-width colons too. null: none of these. */
export function parse(text: string): number | null {
  const parts = text.trim().replace(/：/g, ':').split(':');
  if (parts.length > 3 || !parts.every((p, i) => (i === parts.length - 1 ? /^\d{1,6}(\.\d+)?$/ : /^\d{1,6}$/).test(p)))
    return null;
  const numbers = parts.map(Number);
  if (numbers.slice(1).some((n) => n >= 60)) return null;
  return Math.round(numbers.reduce((sum, n) => sum * 60 + n, 0) * SECOND);
}

/** As a screen reader is to say it. */
export function spoken(words: Words, ticks: number): string {
  const tenths = Math.round((ticks * 10) / SECOND);
  const [h, m, s] = [Math.floor(tenths / 36_000), Math.floor(tenths / 600) % 60, (tenths % 600) / 10];
  return h ? fill(words.hours, { h, m, s }) : fill(words.minutes, { m, s });
}
