// yrs as a participant: its own protocol, in a process that ends with the test (yrs.child.rs).
// scripts/test builds it: cargo build --example yrs-client.

import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { Child } from './child.mjs'

const program = process.env.YRS_CLIENT ?? fileURLToPath(new URL('../../../target/debug/examples/yrs-client', import.meta.url))

/** Joins a room. Resolves when the process runs, not when it is synced. */
export function joinYrs (t, server, room) {
  assert.ok(existsSync(program), `${program} is not there: cargo build --example yrs-client`)
  return Child.start(t, 'yrs', program, [server.ws, room])
}
