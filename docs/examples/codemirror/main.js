import { markdown } from '@codemirror/lang-markdown'
import { EditorState } from '@codemirror/state'
import { EditorView, keymap } from '@codemirror/view'
import { minimalSetup } from 'codemirror'
import { WebsocketProvider } from 'y-websocket'
import { yCollab, yUndoManagerKeymap } from 'y-codemirror.next'
import * as Y from 'yjs'
import { directions } from './directions.js'

// How the page is opened: #room=notes.md&user=Ana&server=wss://example.com/ws&token=…
const { server = 'ws://127.0.0.1:8080/ws', room = 'codemirror', user = 'Guest', token } = Object.fromEntries(new URLSearchParams(location.hash.slice(1)))
const COLORS = ['#1565c0', '#2e7d32', '#ad4e00', '#6a1b9a', '#c62828', '#00697a']
const color = COLORS[Array.from(user).reduce((sum, sign) => sum + sign.codePointAt(0), 0) % COLORS.length]

const text = new Y.Doc().getText('text')
const provider = new WebsocketProvider(server, room, text.doc, { protocols: token ? [`bearer.${token}`] : [] })
provider.awareness.setLocalStateField('user', { name: user, color, colorLight: `${color}33` })
const undoManager = new Y.UndoManager(text) // takes back nobody else's edits; so its keys come before the editor's own
const state = EditorState.create({
  doc: text.toString(),
  extensions: [
    keymap.of(yUndoManagerKeymap), minimalSetup, EditorView.lineWrapping, directions, markdown(),
    yCollab(text, provider.awareness, { undoManager })
  ]
})
new EditorView({ state, parent: document.querySelector('#editor') })

const status = document.querySelector('#status')
provider.on('status', (now) => { status.textContent = status.className = now.status })
provider.on('closed', ({ reason }) => { status.textContent = `closed: ${reason}` })
provider.awareness.on('change', () => {
  const names = [...provider.awareness.getStates().values()].map((state) => state.user?.name).filter(Boolean)
  document.querySelector('#people').textContent = names.sort().join(', ')
})
addEventListener('hashchange', () => location.reload())
// Without these it takes the provider 30 s to notice that the network is gone. Who comes back says it again, so that it is news.
addEventListener('offline', () => provider.disconnect())
addEventListener('online', () => { provider.connect(); provider.awareness.setLocalState(provider.awareness.getLocalState()) })
// It takes nobody back who was removed and has nothing new to say: let it forget when it heard of them.
provider.awareness.on('update', ({ removed }) => removed.forEach((id) => id !== provider.awareness.clientID && provider.awareness.meta.delete(id)))
