// The wasm core: fetched once for a page, after it has shown something.

import type { Client, ClientOptions } from './core.js'
import { RuangError } from './errors.js'

/** The core's client of one room. */
export type Core = Client

/** The core, ready for use. */
export interface CoreModule {
  Client: new (options: ClientOptions) => Client
}

/** Where the wasm comes from, where it is not found beside the script: an address, an answer, bytes, or a compiled module. */
export type WasmSource = WasmInput | Promise<WasmInput>

type WasmInput = string | URL | Request | Response | BufferSource | WebAssembly.Module

/** If the page paints nothing (a hidden tab), loading begins after this, in ms. */
const PAINT_PATIENCE_MS = 250

let loaded: Promise<CoreModule> | undefined

/**
 * The core. `at`: `first-paint` lets the page show itself first, `once` does not wait. All clients of a page share it, and what
 * the first of them says of where it comes from.
 *
 * @throws {RuangError} `no-core`; the next call tries again.
 */
export async function loadCore (source: WasmSource | undefined, at: 'first-paint' | 'once'): Promise<CoreModule> {
  loaded ??= fetchCore(source, at).catch((cause: unknown) => {
    loaded = undefined
    throw new RuangError('no-core', 'the wasm core could not be loaded', { cause })
  })
  return await loaded
}

async function fetchCore (source: WasmSource | undefined, at: 'first-paint' | 'once'): Promise<CoreModule> {
  if (at === 'first-paint') await firstPaint()
  // Made by wasm-bindgen, laid beside this file by the build. Its types are in core.d.ts.
  // @ts-ignore: it is there in the package, not in the sources
  const glue = await import('./ruang_client.js') as typeof import('./core.js')
  // Written so that bundlers see it, and make a file of their own of it.
  const beside = (): URL => new URL('./ruang_client_bg.wasm', import.meta.url)
  await glue.default({ module_or_path: await (source ?? beside()) })
  return glue
}

/** Waits until the page has shown something, if it will. */
async function firstPaint (): Promise<void> {
  if (typeof document === 'undefined' || document.visibilityState === 'hidden') return
  if (performance.getEntriesByName('first-contentful-paint').length > 0) return
  await new Promise<void>((resolve) => {
    setTimeout(resolve, PAINT_PATIENCE_MS)
    // A frame is painted between its callback and the next task.
    requestAnimationFrame(() => { setTimeout(resolve) })
  })
}
