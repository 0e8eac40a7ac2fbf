// The clips of a batch side by side. The server draws each tile; only one that has changed is drawn anew, so that what
// plays plays on.
(() => {
  let tell = () => {};
  const drawn = new WeakMap();
  const still = matchMedia('(prefers-reduced-motion: reduce)');
  const fresh = (html) => {
    const box = document.createElement('template');
    box.innerHTML = html;
    const tile = box.content.firstElementChild;
    drawn.set(tile, html);
    for (const video of tile.querySelectorAll('video')) {
      video.muted = true;
      if (!still.matches) video.autoplay = true;
    }
    return tile;
  };
  const fill = (box, {head, tiles}) => {
    if (!box.firstChild) box.innerHTML = '<div class="batch-head"></div><ol class="tiles"></ol>';
    const [top, list] = box.children, focused = document.activeElement, kept = list.contains(focused) &&
      [focused.closest('.tile').dataset.job, focused.dataset.batch];
    if (drawn.get(top) !== head) { top.innerHTML = head; drawn.set(top, head); }
    const known = new Map([...list.children].map((tile) => [tile.dataset.job, tile]));
    tiles.forEach(([job, html], place) => {
      let tile = known.get(job);
      known.delete(job);
      if (tile && drawn.get(tile) !== html) { const now = fresh(html); tile.replaceWith(now); tile = now; }
      tile ??= fresh(html);
      if (list.children[place] !== tile) list.insertBefore(tile, list.children[place] ?? null);
    });
    for (const tile of known.values()) tile.remove();
    if (kept && !focused.isConnected) {
      list.querySelector(`[data-job="${kept[0]}"] [data-batch="${kept[1]}"]`)?.focus({preventScroll: true});
    }
  };
  let last = {};
  const draw = () => {
    for (const box of document.querySelectorAll('[data-batch-of]')) {
      const mine = last[box.dataset.batchOf];
      box.hidden = !mine;
      mine ? fill(box, mine) : box.replaceChildren();
    }
  };
  const show = (all) => { try { last = JSON.parse(all || '{}'); } catch { last = {}; } draw(); };
  const play = (box) => {
    for (const video of box.querySelectorAll('video')) { video.currentTime = 0; video.play().catch(() => {}); }
  };
  document.addEventListener('click', ({target}) => {
    const button = target.closest?.('[data-batch]'), box = button?.closest('[data-batch-of]');
    if (!box) return;
    const act = button.dataset.batch;
    if (act === 'play') return play(box);
    const job = (button.closest('.tile') ?? box.querySelector('.tile'))?.dataset.job ?? '';
    if (act === 'show' || act === 'better') {
      for (const tile of box.querySelectorAll('.tile')) tile.classList.toggle('chosen', tile.dataset.job === job);
      box.closest('.output')?.querySelector('.stage')?.scrollIntoView({behavior: 'smooth', block: 'nearest'});
    }
    tell({act, job});
  });
  window.wanBatches = {
    show,
    listen: (how) => { tell = how; draw(); },
    // The preset stands in the header, for all modes.
    preset: (name) => {
      if (name === 'quality') document.querySelector('.studio-header .preset input[value=quality]')?.click();
    },
  };
})();
