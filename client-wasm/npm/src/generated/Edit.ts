// Written by scripts/types.mjs from src/board.
import type { Column } from './Column.js'
import type { Phase } from './Phase.js'
import type { Point } from './Point.js'

/** One edit of a board. */
export type Edit =
  /** A new card. */
  | {
    type: 'addItem'
    /** Its id, which no other card has had: random. */
    id: string
    /** What stands on it. */
    text: string
    /** The column in which it begins. */
    column?: string
    /** Where it lies, if it lies anywhere. */
    position?: Point
  }
  /** What stands on a card is replaced. */
  | {
    type: 'setItemText'
    /** Which card. */
    id: string
    /** What stands on it from now on. */
    text: string
  }
  /** A card goes to another column, or to none. */
  | {
    type: 'setItemColumn'
    /** Which card. */
    id: string
    /** Its column from now on. */
    column: string | null
  }
  /** A card lies somewhere else. Written when it is dropped: a drag is shown in presence. */
  | {
    type: 'moveItem'
    /** Which card. */
    id: string
    /** Where it lies. */
    position: Point
  }
  /** A card goes, with its place and its group; votes on it no longer count. */
  | {
    type: 'deleteItem'
    /** Which card. */
    id: string
  }
  /** A card goes into a group, or out of all. */
  | {
    type: 'setItemGroup'
    /** Which card. */
    id: string
    /** Its group from now on. */
    group: string | null
  }
  /** A group is made, or gets another title or place. */
  | {
    type: 'setGroup'
    /** Which group. */
    id: string
    /** What stands over it. */
    title: string
    /** Where it stands among the groups. */
    order?: number
  }
  /** A group goes; its cards stay. */
  | {
    type: 'deleteGroup'
    /** Which group. */
    id: string
  }
  /** The author has so many votes on a card or group from now on. */
  | {
    type: 'vote'
    /** The card or group. */
    target: string
    /** How many; zero takes them back. */
    count: number
  }
  /** The cards of a signature get a color. */
  | {
    type: 'setSignatureColor'
    /** Whose. */
    signature: string
    /** `#rrggbb`. */
    color: string
  }
  /** Something to be done is noted or changed. */
  | {
    type: 'setActionItem'
    /** Its id. */
    id: string
    /** What is to be done. */
    text: string
    /** By whom. */
    assignee?: string
    /** Until when. */
    due?: string
    /** Whether it is done. */
    done?: boolean
    /** Where it stands in the list. */
    order?: number
  }
  /** Something to be done is taken off the list. */
  | {
    type: 'deleteActionItem'
    /** Which. */
    id: string
  }
  /** The facilitator sets something; what is left out stays. */
  | {
    type: 'setMeta'
    /** The board's title. */
    title?: string
    /** Where the retrospective stands. */
    phase?: Phase
    /** All columns, from left to right. */
    columns?: Column[]
    /** How many votes each person has. */
    voteLimit?: number
    /** When the timer ends, in milliseconds since 1970; zero: there is none. */
    timerEndsAt?: number
    /** Whether cards are for their authors alone. */
    hideCards?: boolean
  }
