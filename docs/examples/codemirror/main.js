import { markdown } from '@codemirror/lang-markdown'
import { EditorView, keymap } from '@codemirror/view'
import { minimalSetup } from 'codemirror'
import { WebsocketProvider } from 'y-websocket'
import { yCollab, yUndoManagerKeymap } from 'y-codemirror.next'
import * as Y from 'yjs'
import { directions } from './directions.js'
import { colorOf, furnish } from './page.js'

// How the page is opened: #room=notes.md&user=Ana&server=wss://example.com/ws&token=…
const options = Object.fromEntries(new URLSearchParams(location.hash.slice(1)))
const { server = 'ws://127.0.0.1:8080/ws', room = 'codemirror', user = 'Guest', token } = options

const text = new Y.Doc().getText('text')
const provider = new WebsocketProvider(server, room, text.doc, { protocols: token ? [`bearer.${token}`] : [] })
provider.awareness.setLocalStateField('user', { name: user, color: colorOf(user), colorLight: `${colorOf(user)}33` })
const undoManager = new Y.UndoManager(text) // takes back nobody else's edits; so its keys come before the editor's own
new EditorView({
  parent: document.querySelector('#editor'),
  doc: text.toString(),
  extensions: [
    keymap.of(yUndoManagerKeymap), minimalSetup, EditorView.lineWrapping, directions, markdown(),
    yCollab(text, provider.awareness, { undoManager })
  ]
})
furnish(provider)
