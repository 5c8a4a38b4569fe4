// The packed tarball, as an application gets it: in a plain page, in Vite, in Next. Each in a fresh folder.

import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { copyFile, cp, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { gzipSync } from 'node:zlib'
import { Browser } from '../../../../tests/browser/lib/browser.mjs'
import { serve } from '../../../../tests/browser/lib/pages.mjs'
import { Server } from '../../../../tests/clients/lib/server.mjs'

const run = promisify(execFile)
const root = fileURLToPath(new URL('../..', import.meta.url))
/** Bytes of wasm and glue, gzipped, at most: the number that the bundle is held to as well. */
const CORE_GZIP_MAX = Number((await readFile(new URL('../../../../scripts/lib.sh', import.meta.url), 'utf8')).match(/^CLIENT_GZIP_BYTES_MAX=(\d+)/m)[1])

async function scratch (t) {
  const folder = await mkdtemp(join(tmpdir(), 'ruang-package-'))
  t.after(() => rm(folder, { recursive: true, force: true, maxRetries: 5 }))
  return folder
}

/** Packs; the tarball's path and the files in it. */
async function packed (t) {
  const folder = await scratch(t)
  const { stdout } = await run('npm', ['pack', '--json', '--pack-destination', folder], { cwd: root })
  const said = JSON.parse(stdout)
  const [{ filename, files, size }] = Array.isArray(said) ? said : Object.values(said)
  return { tarball: join(folder, filename), files: files.map(({ path }) => path), size, folder }
}

/** A fixture in a fresh folder, with what its lock names and the tarball. */
async function installed (t, fixture) {
  const { tarball } = await packed(t)
  const folder = join(await scratch(t), fixture)
  await cp(new URL(`./${fixture}`, import.meta.url), folder, { recursive: true, filter: (path) => !/node_modules|\.next|\/(dist|out)$/.test(path) })
  await run('npm', ['ci', '--no-audit', '--no-fund', '--loglevel=error'], { cwd: folder })
  await run('npm', ['install', '--no-save', '--no-audit', '--no-fund', '--loglevel=error', tarball], { cwd: folder })
  return folder
}

/** Opens a built page twice: what one adds the other sees, and it is stored. */
async function works (t, folder, text) {
  const browser = await Browser.start(t)
  const site = await serve(t, { '/': folder })
  const server = await Server.start(t)
  const address = `${site.url}#${new URLSearchParams({ url: server.http, room: 'board' })}`
  const [ana, ben] = [await (await browser.person('ana')).open(address), await (await browser.person('ben')).open(address)]
  for (const page of [ana, ben]) await page.locator('[data-status=synced]').waitFor()
  await ana.getByRole('button', { name: 'Add' }).click()
  await ben.getByText(text).waitFor()
  await ana.locator('[data-status=synced][data-unsaved="0"]').waitFor()
  return site.asked
}

test('[C36] the tarball holds what applications need and nothing else, within the size; printed', async (t) => {
  const { tarball, files, size, folder } = await packed(t)
  await run('tar', ['-xzf', tarball, '-C', folder])
  const dist = join(folder, 'package/dist')
  const gzip = async (name) => gzipSync(await readFile(join(dist, name)), { level: 9 }).length
  const core = { wasm: await gzip('ruang_client_bg.wasm'), glue: await gzip('ruang_client.js') }
  const page = await gzip('ruang-client.browser.js')
  console.log(`tarball ${size} bytes, ${files.length} files`)
  console.log(`gzip: wasm ${core.wasm}, glue ${core.glue}; script for plain pages (with glue and idb, without React) ${page}`)
  assert.ok(core.wasm + core.glue <= CORE_GZIP_MAX, `${core.wasm + core.glue} bytes`)
  assert.deepEqual(files.filter((path) => !/^(dist\/|README\.md$|package\.json$)/.test(path)), [])
  for (const name of ['index.js', 'index.d.ts', 'react/index.js', 'react/index.d.ts', 'core.d.ts']) assert.ok(files.includes(`dist/${name}`), name)
})

test('[C36] its types are found by applications that resolve strictly', async (t) => {
  const { tarball } = await packed(t)
  const folder = await scratch(t)
  await writeFile(join(folder, 'package.json'), JSON.stringify({ type: 'module', private: true }))
  await run('npm', ['install', '--no-save', '--no-audit', '--no-fund', '--loglevel=error', tarball], { cwd: folder })
  await writeFile(join(folder, 'app.ts'), `
    import { RuangClient, RuangError, type RetroRoomState, type Edit } from 'ruang-client'
    const client = new RuangClient({ url: 'https://h', room: 'r', getToken: async ({ room }) => room })
    const id: string = client.edit.addItem({ text: 'x', position: { x: 1, y: 2 } })
    const text: string | undefined = client.get('items', id)?.text
    const end: () => void = client.subscribe('itemPositions', id, () => {})
    const state: RetroRoomState = client.state
    const edit: Edit = { type: 'vote', target: id, count: 1 }
    client.on('refused', ({ code, reason }) => { console.log(code, reason, text, end, state, edit, RuangError) })
    // @ts-expect-error: there is no such part
    client.get('nothing')
    // @ts-expect-error: a card has a text
    client.edit.addItem({})
  `)
  const tsc = join(root, 'node_modules/typescript/bin/tsc')
  for (const [module, moduleResolution] of [['nodenext', 'nodenext'], ['esnext', 'bundler']]) {
    const compilerOptions = { noEmit: true, strict: true, target: 'es2022', module, moduleResolution, types: [] }
    await writeFile(join(folder, 'tsconfig.json'), JSON.stringify({ compilerOptions, files: ['app.ts'] }))
    await run(process.execPath, [tsc, '-p', folder]).catch(({ stdout }) => assert.fail(`${moduleResolution}: ${stdout}`))
  }
})

test('[C36, C38] a plain page: one script and the wasm beside it, with the README\'s example', async (t) => {
  const { tarball, folder } = await packed(t)
  await run('tar', ['-xzf', tarball, '-C', folder])
  const page = join(folder, 'page')
  await mkdir(page)
  for (const name of ['ruang-client.browser.js', 'ruang_client_bg.wasm']) await copyFile(join(folder, 'package/dist', name), join(page, name))
  const readme = await readFile(join(folder, 'package/README.md'), 'utf8')
  const example = readme.match(/```html\n([\s\S]*?)```/)[1]
  const lines = example.trimEnd().split('\n').length
  console.log(`the example has ${lines} lines`)
  assert.ok(lines <= 30)
  await writeFile(join(page, 'index.html'), example)

  const browser = await Browser.start(t)
  const server = await Server.start(t)
  const site = await serve(t, { '/': page })
  const address = `${site.url}?${new URLSearchParams({ url: server.http, room: 'board' })}`
  const [ana, ben] = [await (await browser.person('ana')).open(address), await (await browser.person('ben')).open(address)]
  for (const one of [ana, ben]) await one.getByText('synced').waitFor()
  await ana.getByPlaceholder('A card').fill('from the README')
  await ana.getByPlaceholder('A card').press('Enter')
  await ben.getByText('from the README').waitFor()
  await ana.getByText('synced, 0 unsaved').waitFor()
  assert.deepEqual(site.asked.filter((path) => /client/.test(path)).slice(0, 2), ['/ruang-client.browser.js', '/ruang_client_bg.wasm'])
})

test('[C36] Vite builds it with React 18, the wasm becomes a file of its own, loaded after the page', async (t) => {
  const folder = await installed(t, 'vite')
  await run('npm', ['run', 'build', '--silent'], { cwd: folder })
  const assets = await readdir(join(folder, 'dist/assets'))
  console.log(assets)
  assert.ok(assets.some((name) => name.endsWith('.wasm')))
  await works(t, join(folder, 'dist'), 'from Vite')
})

test('[C36] Next builds it with React 19, as pages that a server rendered before', async (t) => {
  const folder = await installed(t, 'next')
  const { stdout } = await run('npm', ['run', 'build', '--silent'], { cwd: folder, env: { ...process.env, NEXT_TELEMETRY_DISABLED: '1', CI: 'true' } })
  console.log(stdout.split('\n').filter((line) => /Next\.js|Compiled/.test(line)).join('\n'))
  await works(t, join(folder, 'out'), 'from Next')
})
