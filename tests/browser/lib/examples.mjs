// The examples of docs/examples, built as their readers build them.

import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { serve } from './pages.mjs'

const folder = (name) => new URL(`../../../docs/examples/${name}/`, import.meta.url)

/**
 * Builds an example with its own script, and serves it.
 * @returns {Promise<(options: Record<string, string>) => string>} the address of its page for a server, room, user
 */
export async function example (t, name) {
  await promisify(execFile)('npm', ['run', 'build', '--silent'], { cwd: fileURLToPath(folder(name)) })
  const { url } = await serve(t, { '/': folder(name) })
  return (options) => `${url}#${new URLSearchParams(options)}`
}
