'use client'
// The client that a tree of components shares.

import { createContext, createElement, useContext, useEffect, useState, type ReactNode } from 'react'
import { RuangClient } from '../client.js'
import type { RuangOptions } from '../options.js'

const Context = createContext<RuangClient | null>(null)

/** Gives a client to all components below it. `null`: there is none yet, as on a server that renders. */
export function RuangProvider ({ client, children }: { client: RuangClient | null, children?: ReactNode }): ReactNode {
  return createElement(Context.Provider, { value: client }, children)
}

/** The client of the provider above; `null` as long as there is none. */
export function useRuang (): RuangClient | null { return useContext(Context) }

/**
 * A client of this component's own, closed with it; `null` until the component is mounted, and with `null` options. Another one is made
 * when the server, the room or the user is another; what else the options say is read when it is made.
 */
export function useRuangClient (options: RuangOptions | null): RuangClient | null {
  const [client, setClient] = useState<RuangClient | null>(null)
  const key = options === null ? '' : JSON.stringify([options.url, options.room, options.user])
  useEffect(() => {
    if (options === null) return undefined
    const made = new RuangClient(options)
    setClient(made)
    return () => {
      setClient(null)
      void made.close()
    }
    // The key stands for the options.
  }, [key])
  return client
}
