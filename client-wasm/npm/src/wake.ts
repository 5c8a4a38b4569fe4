// When the page hears that it, or the network, is back.

/** What a page hears. */
export interface WakeHost {
  /** The network is back, or the page is seen again: whatever was waited for need not be. */
  wake (): void
  /** The network may be gone. */
  doubt (): void
  /** The page may be gone for good. */
  leave (): void
}

/** Listens. Returns what ends it. Outside of a browser nothing is heard. */
export function onWake (host: WakeHost): () => void {
  if (typeof window === 'undefined' || typeof document === 'undefined') return () => {}
  const seen = (): void => {
    if (document.visibilityState === 'visible') host.wake()
    else host.leave()
  }
  const heard: Array<[EventTarget, string, () => void]> = [
    [window, 'online', () => { host.wake() }],
    [window, 'offline', () => { host.doubt() }],
    [window, 'pageshow', () => { host.wake() }],
    [window, 'pagehide', () => { host.leave() }],
    [document, 'visibilitychange', seen]
  ]
  for (const [target, name, listener] of heard) target.addEventListener(name, listener)
  return () => { for (const [target, name, listener] of heard) target.removeEventListener(name, listener) }
}
