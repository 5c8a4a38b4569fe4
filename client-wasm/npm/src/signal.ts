// Listeners, by name of what happened.

/** Calls back; throws nothing of what a listener throws, but lets the page see it as an uncaught error. */
export class Listeners<Values extends object> {
  readonly #of = new Map<keyof Values, Set<(value: never) => void>>()

  /** Returns what takes the listener off again. */
  on<Name extends keyof Values> (name: Name, listener: (value: Values[Name]) => void): () => void {
    const all = this.#of.get(name) ?? new Set()
    this.#of.set(name, all)
    all.add(listener)
    return () => { all.delete(listener) }
  }

  /** Tells everyone who listens now. */
  tell<Name extends keyof Values> (name: Name, value: Values[Name]): void {
    for (const listener of [...this.#of.get(name) ?? []]) call(listener as (value: Values[Name]) => void, value)
  }

  clear (): void { this.#of.clear() }
}

/** Calls a listener of the application's: its failure is not ours, and stops nobody else's. */
export function call<Value> (listener: (value: Value) => void, value: Value): void {
  try {
    listener(value)
  } catch (error) {
    queueMicrotask(() => { throw error })
  }
}
