import type { ActionItem } from "./ActionItem";
import type { Group } from "./Group";
import type { Item } from "./Item";
import type { Meta } from "./Meta";
import type { Point } from "./Point";

export type Change = {
  meta?: Meta;
  items?: { [key in string]?: Item | null };
  itemPositions?: { [key in string]?: Point | null };
  itemGroups?: { [key in string]?: string | null };
  groups?: { [key in string]?: Group | null };
  signatureColors?: { [key in string]?: string | null };
  actionItems?: Array<ActionItem>;
  allUserVotes?: { [key in string]?: { [key in string]?: number } | null };
};
