// pycrdt as a participant: its own provider, in a Python process that ends with the test.
// scripts/lib.sh, `ensure_python_packages`, makes the Python that has it.

import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { Child } from './child.mjs'

export const python = fileURLToPath(new URL('../.venv/bin/python', import.meta.url))
const child = fileURLToPath(new URL('./pycrdt.child.py', import.meta.url))

/** Its texts count bytes of UTF-8. */
export class Pycrdt extends Child {
  /**
   * Joins a room. Resolves when the process runs, not when it is synced.
   * @param {{ ws: string }} server a Server of lib/server.mjs, or anything with the address that y-websocket takes
   */
  static async join (t, server, room) {
    assert.ok(existsSync(python), `${python} is not there: run scripts/test setup`)
    return Object.assign(await Pycrdt.start(t, 'pycrdt', python, [child, server.ws, room]), { room })
  }
}
