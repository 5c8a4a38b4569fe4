// Written by scripts/types.mjs from src/board.
import type { ActionItem } from './ActionItem.js'
import type { Group } from './Group.js'
import type { Item } from './Item.js'
import type { Meta } from './Meta.js'
import type { Point } from './Point.js'

/** What of a board is another than before, with its new values; in maps `None` is gone. */
export type Change = {
  /** All of it, if anything of it changed. */
  meta?: Meta
  /** Cards by id. */
  items?: { [id: string]: Item | null | undefined }
  /** Places by card. */
  itemPositions?: { [id: string]: Point | null | undefined }
  /** Groups by card. */
  itemGroups?: { [id: string]: string | null | undefined }
  /** Groups by id. */
  groups?: { [id: string]: Group | null | undefined }
  /** Colors by signature. */
  signatureColors?: { [id: string]: string | null | undefined }
  /** The whole list, if anything in it changed. */
  actionItems?: ActionItem[]
  /** All votes of a person that count, by person. */
  allUserVotes?: { [id: string]: { [id: string]: number | undefined } | null | undefined }
}
