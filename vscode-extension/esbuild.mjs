// Bundles the extension (node) and the script of the chat view (browser) into dist/. Knows nothing of packaging.
import { build } from 'esbuild';
import { copyFile, mkdir, rm } from 'node:fs/promises';

await rm('dist', { recursive: true, force: true });
await mkdir('dist');
const common = { bundle: true, minify: true, logLevel: 'warning', legalComments: 'linked' };
await Promise.all([
  build({
    ...common,
    entryPoints: ['src/extension.ts'],
    outfile: 'dist/extension.js',
    platform: 'node',
    format: 'cjs',
    target: 'node20',
    external: ['vscode'],
  }),
  build({
    ...common,
    entryPoints: ['src/webview/chat.ts'],
    outfile: 'dist/chat.js',
    platform: 'browser',
    format: 'iife',
    target: 'es2022',
  }),
  copyFile('media/chat.css', 'dist/chat.css'),
]);
