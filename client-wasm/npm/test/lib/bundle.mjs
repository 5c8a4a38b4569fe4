// A page with React in it, bundled as an application does it.

import { build } from 'esbuild'
import { copyFile, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { dist } from './page.mjs'

const here = (path) => fileURLToPath(new URL(path, import.meta.url))

export const APP_PAGE = `<!doctype html><meta charset=utf-8><link rel=icon href=data:,><title>app</title>
<div id=root></div><script type=module src=/app/app.js></script>`

/** Bundles app.jsx with the client, and lays the wasm beside it. Returns the folder, which goes with the test. */
export async function bundled (t) {
  const folder = await mkdtemp(join(tmpdir(), 'ruang-app-'))
  t.after(() => rm(folder, { recursive: true, force: true }))
  await build({
    entryPoints: [here('./app.jsx')],
    bundle: true,
    format: 'esm',
    jsx: 'automatic',
    define: { 'process.env.NODE_ENV': '"production"' },
    alias: { 'ruang-client/react': here('../../dist/react/index.js'), 'ruang-client': here('../../dist/index.js') },
    outfile: join(folder, 'app.js'),
    logLevel: 'warning'
  })
  await copyFile(new URL('ruang_client_bg.wasm', dist), join(folder, 'ruang_client_bg.wasm'))
  return folder
}
