// Makes dist/ of src/ and of the wasm bundle in wasm/ (`scripts/wasm` in the repository makes that one): ES modules with types for
// bundlers, and one file for plain pages. Prints what a browser has to load.

import { build } from 'esbuild'
import { spawnSync } from 'node:child_process'
import { copyFile, mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { gzipSync } from 'node:zlib'

const root = resolve(fileURLToPath(import.meta.url), '../..')
const dist = join(root, 'dist')
const wasm = join(root, 'wasm')

await rm(dist, { recursive: true, force: true })
await mkdir(dist)

const tsc = spawnSync(process.execPath, [join(root, 'node_modules/typescript/bin/tsc'), '-p', root], { stdio: 'inherit' })
if (tsc.status !== 0) process.exit(1)
await copyFile(join(root, 'src/core.d.ts'), join(dist, 'core.d.ts'))
await nameExtensions(dist)

for (const name of ['ruang_client.js', 'ruang_client_bg.wasm']) {
  await copyFile(join(wasm, name), join(dist, name)).catch(() => {
    throw new Error(`${join(wasm, name)} is not there: scripts/wasm in the repository's root makes it`)
  })
}

// For plain pages: everything in one file, but for the wasm, which it finds beside itself.
await build({
  entryPoints: [join(dist, 'index.js')],
  bundle: true,
  format: 'esm',
  target: 'es2022',
  minify: true,
  legalComments: 'none',
  outfile: join(dist, 'ruang-client.browser.js'),
  logLevel: 'warning'
})

const gzip = async (name) => gzipSync(await readFile(join(dist, name)), { level: 9 }).length
const core = await gzip('ruang_client_bg.wasm')
const glue = await gzip('ruang_client.js')
const page = await gzip('ruang-client.browser.js')
console.log(`gzip: wasm ${core}, glue ${glue}, together ${core + glue}; for a plain page: wasm ${core}, script ${page}, together ${core + page} bytes`)

/** The types that Rust generates import each other without an extension; `nodenext` wants one. */
async function nameExtensions (folder) {
  for (const entry of await readdir(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name)
    if (entry.isDirectory()) await nameExtensions(path)
    if (!entry.name.endsWith('.d.ts')) continue
    const text = await readFile(path, 'utf8')
    const named = text.replace(/(from\s+|import\()(["'])(\.{1,2}\/[^"']+?)(\.js)?\2/g, '$1$2$3.js$2')
    if (named !== text) await writeFile(path, named)
  }
}
