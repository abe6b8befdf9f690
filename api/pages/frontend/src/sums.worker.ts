// Sums whole files off the page's own thread, each read in pieces: a photograph does not wait until
// a film of many gigabytes has been read.

import { Sha256, bytesOf, hex } from './lib/sha256';

const PIECE = 4 << 20;

interface Ask {
  id: number;
  file?: File;
  stop?: boolean;
}

const stopped = new Set<number>();

async function sum({ id, file }: Ask): Promise<void> {
  if (!file) return;
  const total = new Sha256();
  try {
    for (let at = 0; at < file.size; at += PIECE) {
      if (stopped.delete(id)) return;
      total.update(await bytesOf(file.slice(at, at + PIECE)));
      self.postMessage({ id, done: Math.min(1, (at + PIECE) / file.size) });
    }
    self.postMessage({ id, sum: hex(total.digest()) });
  } catch {
    // The file was changed or taken away: the upload finds out by itself.
    self.postMessage({ id, failed: true });
  }
}

self.addEventListener('message', (event: MessageEvent<Ask>) => {
  const ask = event.data;
  if (ask.stop) stopped.add(ask.id);
  else void sum(ask);
});
