// A folder of files as a website of its own, on 127.0.0.1 and a free port.

import { createReadStream } from 'node:fs'
import { stat } from 'node:fs/promises'
import { createServer } from 'node:http'
import { extname, join, resolve, sep } from 'node:path'
import { fileURLToPath } from 'node:url'

const TYPES = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.mjs': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.json': 'application/json',
  '.map': 'application/json',
  '.wasm': 'application/wasm',
  '.svg': 'image/svg+xml',
  '.png': 'image/png',
  '.woff2': 'font/woff2'
}

/**
 * Serves folders until the test ends. A file that is not there is a 404; a name that leads out of the folder too.
 * @param {import('node:test').TestContext} t
 * @param {Record<string, string | URL>} folders path prefix, ending with a slash, to folder; the longest prefix wins
 * @param {{ headers?: Record<string, string>, files?: Record<string, { type: string, body: string }> }} options
 *   `headers` go with every answer (a content security policy, say); `files` are answers that are on no disk
 * @returns {Promise<{ url: string, origin: string, asked: string[] }>} `url` ends with a slash; `asked` grows with
 *   each path that was asked for
 */
export async function serve (t, folders, { headers = {}, files = {} } = {}) {
  const asked = []
  const roots = Object.entries(folders)
    .map(([prefix, folder]) => [prefix, resolve(folder instanceof URL ? fileURLToPath(folder) : folder)])
    .sort(([a], [b]) => b.length - a.length)

  const server = createServer(async (request, response) => {
    const answer = (status, type, body) => {
      response.writeHead(status, { ...headers, 'Content-Type': type, 'Cache-Control': 'no-store' })
      if (typeof body === 'string') return response.end(body)
      body.on('error', () => response.destroy()).pipe(response)
    }
    const missing = () => answer(404, 'text/plain; charset=utf-8', 'not found\n')
    try {
      const path = decodeURIComponent(new URL(request.url, 'http://pages').pathname)
      if (path === '/favicon.ico') return answer(200, 'image/svg+xml', '<svg xmlns="http://www.w3.org/2000/svg"/>')
      asked.push(path)
      if (Object.hasOwn(files, path)) return answer(200, files[path].type, files[path].body)
      const [prefix, root] = roots.find(([prefix]) => path.startsWith(prefix)) ?? []
      if (root === undefined) return missing()
      let file = join(root, path.slice(prefix.length))
      if (file !== root && !file.startsWith(root + sep)) return missing()
      if ((await stat(file)).isDirectory()) file = join(file, 'index.html')
      if (!(await stat(file)).isFile()) return missing()
      answer(200, TYPES[extname(file)] ?? 'application/octet-stream', createReadStream(file))
    } catch {
      missing()
    }
  })
  await new Promise((resolve, reject) => server.once('error', reject).listen(0, '127.0.0.1', resolve))
  t.after(() => new Promise((resolve) => {
    server.close(resolve)
    server.closeAllConnections()
  }))
  const origin = `http://127.0.0.1:${server.address().port}`
  return { url: `${origin}/`, origin, asked }
}
