// The edits of a board, typed: each is one transaction and one step of undo, or an error and nothing.

import type { ActionItem } from './generated/ActionItem.js'
import type { Edit } from './generated/Edit.js'
import type { Group } from './generated/Group.js'
import type { Point } from './generated/Point.js'
import { RuangError } from './errors.js'
import type { Board } from './board.js'

/** What of an edit's fields the caller gives: all but its type. */
type Fields<Type extends Edit['type']> = Omit<Extract<Edit, { type: Type }>, 'type'>

/**
 * The edits of a board. Each throws a {@link RuangError} if it cannot be made (`not-there`, `exists`, `bad-edit`,
 * `too-large`, `not-allowed`, `not-ready`), and nothing was written then. When it returns, the edit is in the document and on
 * its way to the local copy and to the server.
 */
export interface Edits {
  /** A new card; returns its id. */
  addItem (card: { text: string, column?: string, position?: Point, id?: string }): string
  /** What stands on a card is replaced. */
  setItemText (id: string, text: string): void
  /** A card goes to another column, or to none. */
  setItemColumn (id: string, column: string | null): void
  /** A card lies somewhere else: when it is dropped. While it is dragged use `client.presence.drag`. */
  moveItem (id: string, position: Point): void
  deleteItem (id: string): void
  /** A card goes into a group, or out of all. */
  setItemGroup (id: string, group: string | null): void
  /** A new group; returns its id. */
  addGroup (group: { title: string, order?: number, id?: string }): string
  /** What is left out stays as it is. */
  setGroup (id: string, group: Partial<Group>): void
  /** A group goes; its cards stay. */
  deleteGroup (id: string): void
  /** So many of one's own votes are on a card or group from now on; 0 takes them back. */
  vote (target: string, count: number): void
  setSignatureColor (signature: string, color: string): void
  /** Something to be done; returns its id. */
  addActionItem (item: { text: string, id?: string } & Partial<Omit<ActionItem, 'id' | 'text'>>): string
  /** What is left out stays as it is. */
  setActionItem (id: string, item: Partial<Omit<ActionItem, 'id'>>): void
  deleteActionItem (id: string): void
  /** The facilitator's: title, phase, columns, limit of votes, timer, hidden cards. What is left out stays. */
  setMeta (meta: Fields<'setMeta'>): void
  /** Begins an empty board with a template: `retro`, `start-stop-continue`, `mad-sad-glad` or `4ls`. Twice is once. */
  seed (template: string): void
  /** Takes the last of one's own edits back. */
  undo (): void
  /** Makes it again. */
  redo (): void
  /** An edit as the core knows it. */
  apply (edit: Edit): void
}

/** What the edits are made by. */
export interface EditTarget {
  edit (edit: Edit): void
  seed (template: string): void
  undo (): void
  redo (): void
}

/** An id that nobody else makes. */
export function randomId (): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16))
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('')
}

/** The edits of a board that `target` makes. */
export function edits (target: EditTarget, board: Board): Edits {
  const apply = (edit: Edit): void => { target.edit(edit) }
  return {
    apply,
    seed: (template) => { target.seed(template) },
    undo: () => { target.undo() },
    redo: () => { target.redo() },
    addItem: ({ id = randomId(), ...card }) => {
      apply({ type: 'addItem', id, ...card })
      return id
    },
    setItemText: (id, text) => { apply({ type: 'setItemText', id, text }) },
    setItemColumn: (id, column) => { apply({ type: 'setItemColumn', id, column }) },
    moveItem: (id, position) => { apply({ type: 'moveItem', id, position }) },
    deleteItem: (id) => { apply({ type: 'deleteItem', id }) },
    setItemGroup: (id, group) => { apply({ type: 'setItemGroup', id, group }) },
    addGroup: ({ id = randomId(), ...group }) => {
      apply({ type: 'setGroup', id, ...group })
      return id
    },
    setGroup: (id, group) => {
      const { title, order } = { ...there('group', id, board.get('groups', id)), ...group }
      apply({ type: 'setGroup', id, title, ...given({ order }) })
    },
    deleteGroup: (id) => { apply({ type: 'deleteGroup', id }) },
    vote: (target, count) => { apply({ type: 'vote', target, count }) },
    setSignatureColor: (signature, color) => { apply({ type: 'setSignatureColor', signature, color }) },
    addActionItem: ({ id = randomId(), text, done = false, assignee, due, order }) => {
      apply({ type: 'setActionItem', id, text, done, ...given({ assignee, due, order }) })
      return id
    },
    setActionItem: (id, item) => {
      const found = board.get('actionItems').find((one) => one.id === id)
      const { text, done, assignee, due, order } = { ...there('action item', id, found), ...item }
      apply({ type: 'setActionItem', id, text, done, ...given({ assignee, due, order }) })
    },
    deleteActionItem: (id) => { apply({ type: 'deleteActionItem', id }) },
    setMeta: (meta) => { apply({ type: 'setMeta', ...meta }) }
  }
}

function there<Value> (what: string, id: string, value: Value | undefined): Value {
  if (value === undefined) throw new RuangError('not-there', `there is no ${what} with the id ${JSON.stringify(id)}`)
  return value
}

/** The fields that have a value. */
function given<Fields extends object> (fields: Fields): { [Key in keyof Fields]?: NonNullable<Fields[Key]> } {
  const entries = Object.entries(fields).filter(([, value]) => value !== undefined && value !== null)
  return Object.fromEntries(entries) as { [Key in keyof Fields]?: NonNullable<Fields[Key]> }
}
