'use client'
// A panel for developers and for whoever helps: how it stands with this room, in one place.

import { useEffect, useState, type CSSProperties, type ReactNode } from 'react'
import { useConnection, usePart, usePresence } from './hooks.js'
import { useRuang } from './context.js'

/** The document is measured at most this often while the panel is open, in ms: it costs an encoding. */
const MEASURED_EVERY_MS = 2_000

const PANEL: CSSProperties = {
  font: '12px/1.5 ui-monospace, monospace', padding: 8, border: '1px solid #8888', borderRadius: 6, maxWidth: 420
}
const TERM: CSSProperties = { opacity: 0.7, paddingRight: 12, verticalAlign: 'top', textAlign: 'start', fontWeight: 'normal' }
const VALUE: CSSProperties = { overflowWrap: 'anywhere' }

/** Connection, participants, document, last update, unsaved edits, position and generation of the room above. */
export function RoomStateDebug ({ style }: { style?: CSSProperties }): ReactNode {
  const client = useRuang()
  const connection = useConnection()
  const { all } = usePresence()
  const participants = usePart('participants')
  const lastUpdated = usePart('lastUpdated')
  const items = usePart('itemIds')
  const size = useSize()
  const { status, reason, conflict } = connection
  const rows: Array<[string, ReactNode]> = [
    ['room', connection.room],
    ['connection', reason === undefined ? status : `${status} (${reason.code} ${reason.text})`],
    ['user', `${connection.user} · ${connection.role}`],
    ['participants', `${participants.filter(({ online }) => online).length} here of ${participants.length}, ${all.length} tabs`],
    ['document', size === undefined ? '…' : `${items.length} cards, ${size.bytes} bytes, ${size.clients} clients`],
    ['last update', lastUpdated === null ? 'unknown' : new Date(lastUpdated).toISOString()],
    ['unsaved edits', `${connection.unsaved}${connection.refused > 0 ? `, ${connection.refused} refused` : ''}`],
    ['position', connection.position ?? 'none yet'],
    ['generation', connection.generation.join(', ') || 'none yet'],
    ['local copy', connection.storage],
    ['clock', client === null || !client.clock.isKnown
      ? 'unknown'
      : `${Math.round(client.clock.offsetMs)} ms ± ${Math.round(client.clock.uncertaintyMs)}`]
  ]
  if (conflict !== undefined) rows.push(['conflict', conflict.reason.text])
  return (
    <section aria-label='Room state' data-ruang-debug={status} style={{ ...PANEL, ...style }}>
      <table>
        <tbody>
          {rows.map(([term, value]) => (
            <tr key={term} data-ruang-debug-row={term}>
              <th scope='row' style={TERM}>{term}</th>
              <td style={VALUE}>{value}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </section>
  )
}

function useSize (): { bytes: number, clients: number } | undefined {
  const client = useRuang()
  const { isReady } = useConnection()
  const [size, setSize] = useState<{ bytes: number, clients: number }>()
  useEffect(() => {
    if (client === null || !isReady) {
      setSize(undefined)
      return undefined
    }
    const measure = (): void => {
      try {
        const { bytes, clients } = client.measure()
        setSize((before) => before?.bytes === bytes && before.clients === clients ? before : { bytes, clients })
      } catch {
        // The client was closed meanwhile.
      }
    }
    measure()
    const timer = setInterval(measure, MEASURED_EVERY_MS)
    return () => { clearInterval(timer) }
  }, [client, isReady])
  return size
}
