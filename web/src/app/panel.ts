/** The panel beside the image: objects with their figures, the way through a volume, the window. */

import { CT_WINDOWS, Shades } from "../io/intensity";
import { one, icon, make } from "./dom";
import { Item, colourOf } from "./items";
import { intensityText, sizeText } from "./measures";
import { Session } from "./session";

export interface Actions {
  select(label: number): void;
  remove(label: number): void;
  rename(label: number, name: string): void;
  shade(shades: Shades): void;
}

export class Panel {
  private readonly rows = new Map<number, Row>();
  private readonly list = one("#objects");
  private readonly level = one<HTMLInputElement>("#level");
  private readonly width = one<HTMLInputElement>("#width");

  constructor(private readonly actions: Actions) {}

  /** The panel for another image. */
  open({ image }: Session): void {
    one("#panel").hidden = false;
    one("#volume").hidden = image.depth === 1;
    one("#window").hidden = image.channels === 3;
    one("#notes").replaceChildren(...image.notes.map((note) => make("li", { textContent: note })));
    for (const id of ["#first", "#last"]) one<HTMLInputElement>(id).max = String(image.depth);
    const presets = Object.entries({ ...(image.modality === "CT" ? CT_WINDOWS : {}), Auto: image.shades });
    one("#presets").replaceChildren(
      ...presets.map(([textContent, shades]) => {
        const button = make("button", { textContent, onclick: () => this.actions.shade(shades) });
        button.dataset.level = String(shades.level);
        button.dataset.width = String(shades.width);
        return button;
      }),
    );
  }

  update(session: Session, isBusy: (item: Item) => boolean): void {
    const { items, selected } = session;
    one("#none").hidden = items.length > 0;
    for (const [label, row] of this.rows) {
      if (items.some((item) => item.label === label)) continue;
      row.element.remove();
      this.rows.delete(label);
    }
    items.forEach((item, i) => {
      const row = this.rowOf(item.label);
      if (this.list.children[i] !== row.element) this.list.insertBefore(row.element, this.list.children[i] ?? null);
      row.update(item, item.label === selected?.label, isBusy(item) ? "…" : figuresText(session, item));
    });
    this.updateVolume(session);
    this.updateWindow(session);
    for (const button of one("#save").querySelectorAll("button")) button.disabled = !items.length;
  }

  private updateVolume({ items, selected, image }: Session): void {
    const button = one<HTMLButtonElement>("#follow");
    button.disabled = !items.length;
    const count = items.length > 1 ? `all ${items.length} objects` : "the object";
    button.textContent = selected ? `Follow object ${selected.label}` : `Follow ${count}`;
    const first = one<HTMLInputElement>("#first");
    const last = one<HTMLInputElement>("#last");
    const isGiven = Boolean(selected && selected.first !== selected.last);
    const radio = one<HTMLInputElement>(`input[name="extent"][value="${isGiven ? "given" : "find"}"]`);
    if (selected) radio.checked = true;
    for (const input of [first, last]) input.disabled = !selected;
    if (!selected || image.depth === 1) return;
    if (document.activeElement !== first) first.value = String(selected.first + 1);
    if (document.activeElement !== last) last.value = String(selected.last + 1);
  }

  private updateWindow({ shades }: Session): void {
    for (const [input, value] of [[this.level, shades.level], [this.width, shades.width]] as const) {
      if (document.activeElement !== input) input.value = String(Number(value.toPrecision(5)));
    }
    for (const button of one("#presets").querySelectorAll("button")) {
      const isOn = Number(button.dataset.level) === shades.level && Number(button.dataset.width) === shades.width;
      button.setAttribute("aria-pressed", String(isOn));
    }
  }

  private rowOf(label: number): Row {
    const row = this.rows.get(label) ?? new Row(label, this.actions);
    this.rows.set(label, row);
    return row;
  }
}

/** One object's line in the list. */
class Row {
  readonly element = make("li");
  private readonly number: HTMLButtonElement;
  private readonly name: HTMLInputElement;
  private readonly figures = make("p", { className: "figures" });

  constructor(label: number, actions: Actions) {
    this.number = make("button", {
      className: "number",
      textContent: String(label),
      label: `Select object ${label}`,
      onclick: () => actions.select(label),
    });
    this.name = make("input", {
      type: "text",
      placeholder: "name",
      maxLength: 64,
      label: `Name of object ${label}`,
      onchange: () => actions.rename(label, this.name.value.trim()),
      onfocus: () => actions.select(label),
    });
    const remove = make(
      "button",
      { className: "delete", label: `Delete object ${label}`, title: "Delete", onclick: () => actions.remove(label) },
      icon("delete"),
    );
    this.element.append(this.number, this.name, remove, this.figures);
  }

  update(item: Item, isSelected: boolean, figures: string): void {
    this.element.setAttribute("aria-current", String(isSelected));
    this.number.style.background = colourOf(item);
    if (document.activeElement !== this.name) this.name.value = item.name;
    if (this.figures.innerText !== figures) this.figures.innerText = figures;
  }
}

/** Size and intensities of an object, on all slices where it is known; how good the model thinks its mask is. */
function figuresText(session: Session, item: Item): string {
  const { image, items } = session;
  const total = session.maps.total(items, item);
  if (!total) return item.layers ? "nothing found: draw its box closer, or another one" : "…";
  const slices = item.isFollowed && item.layers ? slicesText(item.layers.keys()) : "";
  const expected = item.score === null || item.isCorrected || slices ? "" : `expected IoU ${item.score.toFixed(2)}`;
  const known = [slices, expected, item.isCorrected ? "corrected by hand" : ""].filter(Boolean).join(" · ");
  const lines = [sizeText(image, total.count), intensityText(image, total), known];
  return lines.filter(Boolean).join("\n");
}

function slicesText(slices: Iterable<number>): string {
  const all = [...slices];
  return `slices ${Math.min(...all) + 1} to ${Math.max(...all) + 1}`;
}
