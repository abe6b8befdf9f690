// Bundles scripts and styles, draws the icon sheet, names files by their content, writes the manifest.
import { createHash } from 'node:crypto';
import { mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { basename, extname, join } from 'node:path';
import { brotliCompressSync, gzipSync } from 'node:zlib';
import { build } from 'esbuild';

// Made beside it and put in its place at the end: whoever reads `dist` never finds half of it.
const DIST = 'dist';
const OUT = `${DIST}-${process.pid}`;
// Old phones inside WeChat are the floor.
const TARGET = ['chrome80', 'safari13', 'firefox80', 'edge85'];

/** Icons in use; a name not listed here is not in the pages. */
const ICONS = [
  'arrow-left', 'check', 'chevron-right', 'circle-alert', 'circle-check', 'clock', 'copy', 'download',
  'film', 'info', 'list-video', 'log-out', 'play', 'plus', 'qr-code', 'radio', 'refresh-cw',
  'rotate-ccw', 'scissors', 'share-2', 'square', 'triangle-alert', 'users', 'volume-2', 'x',
  // 指标
  'file-text', 'flag', 'lock', 'pencil', 'upload',
  // 资源库
  'book-open', 'eye-off', 'image', 'layout-grid', 'list', 'music', 'package', 'search', 'send',
  'siren', 'sliders-horizontal', 'undo-2',
  // 剪微视频
  'pause', 'redo-2', 'skip-back', 'skip-forward', 'trash-2', 'zoom-in', 'zoom-out',
];

const manifest = {};
rmSync(OUT, { recursive: true, force: true });
mkdirSync(OUT);

function emit(name, bytes) {
  const hash = createHash('sha256').update(bytes).digest('hex').slice(0, 10);
  const ext = extname(name);
  const file = `${basename(name, ext)}-${hash}${ext}`;
  writeFileSync(join(OUT, file), bytes);
  if (bytes.length > 1024) {
    writeFileSync(join(OUT, `${file}.gz`), gzipSync(bytes, { level: 9 }));
    writeFileSync(join(OUT, `${file}.br`), brotliCompressSync(bytes));
  }
  manifest[name] = file;
  return file;
}

function iconSheet() {
  const symbols = ICONS.map((name) => {
    const svg = readFileSync(`node_modules/lucide-static/icons/${name}.svg`, 'utf8');
    const body = svg.replace(/<!--[\s\S]*?-->/g, '').replace(/^[\s\S]*?<svg[^>]*>|<\/svg>\s*$/g, '');
    return `<symbol id="i-${name}" viewBox="0 0 24 24">${body.replace(/\s+/g, ' ').trim()}</symbol>`;
  });
  return `<svg class="icon-sheet" aria-hidden="true" width="0" height="0">${symbols.join('')}</svg>`;
}

async function bundle(entry, options = {}) {
  const result = await build({
    entryPoints: [entry],
    bundle: true,
    write: false,
    minify: true,
    target: TARGET,
    // Safari 13's own bug with it touches none of our code.
    supported: { destructuring: true },
    legalComments: 'none',
    logLevel: 'warning',
    ...options,
  });
  return Buffer.from(result.outputFiles[0].contents);
}

// The worker is its own file, so that the page's CSP need not allow scripts made of strings.
const worker = emit('hls.worker.js', readFileSync('node_modules/hls.js/dist/hls.worker.js'));
const define = { HLS_WORKER_PATH: JSON.stringify(`/static/${worker}`) };
for (const name of readdirSync('src').filter((f) => f.endsWith('.ts') && !f.endsWith('.d.ts'))) {
  const out = name.replace(/\.ts$/, '.js');
  emit(out, await bundle(`src/${name}`, { format: 'iife', define }));
}
// What viewers never need is not in what viewers load.
for (const name of ['site.css', 'library.css', 'targets.css', 'timeline.css', 'uploads.css', 'forms.css', 'stills.css']) emit(name, await bundle(`css/${name}`));
emit('icons.svg', Buffer.from(iconSheet()));
emit('favicon.svg', readFileSync('img/favicon.svg'));
writeFileSync(join(OUT, 'manifest.json'), `${JSON.stringify(manifest, null, 2)}\n`);
rmSync(DIST, { recursive: true, force: true });
renameSync(OUT, DIST);
