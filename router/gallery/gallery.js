// The Gallery in the browser: filters, keys, what plays under the pointer, two videos in step. The server does the rest.
(() => {
  const page = () => document.querySelector('.page-gallery');
  const all = (what, root = page()) => [...(root?.querySelectorAll(what) ?? [])];
  const one = (what, root = page()) => root?.querySelector(what) ?? null;
  const want = {modes: new Set(), star: false, model: '', text: '', from: '', to: ''};
  const dismissed = new Set();
  let tell = () => {}, picked = [], opened = '', back = null;

  // ---- filters
  const day = (stamp) => { const d = new Date(stamp); return stamp && !isNaN(d) ? d.toLocaleDateString('sv') : ''; };
  const fits = (cell) => {
    const {mode, model, text, when, star} = cell.dataset, date = day(when);
    return (!want.modes.size || want.modes.has(mode)) && (!want.star || star === 'true')
      && (!want.model || model === want.model) && want.text.split(/\s+/).every((word) => text.includes(word))
      && (!want.from || (date && date >= want.from)) && (!want.to || (date && date <= want.to));
  };
  const filtered = () => want.modes.size || want.star || want.model || want.text || want.from || want.to;
  const hide = (element, yes) => { if (element && element.hidden !== yes) element.hidden = yes; };
  const apply = () => {
    const cells = all('.grid figure');
    let shown = 0;
    for (const cell of cells) {
      const yes = fits(cell);
      hide(cell, !yes);
      shown += yes;
      cell.classList.toggle('chosen', cell.dataset.key === opened);
      const pick = one('[data-pick]', cell);
      pick.checked = picked.includes(pick.dataset.pick);
      const time = one('time:not([data-local])', cell);
      if (!time) continue;
      time.dataset.local = '';
      const when = new Date(time.dateTime);
      if (time.dateTime && !isNaN(when)) {
        time.textContent = when.toLocaleString([], {dateStyle: 'medium', timeStyle: 'short'});
      }
    }
    const starred = cells.find((cell) => cell.dataset.key === opened)?.dataset.star, star = one('.detail .star');
    const say = (element, text) => { if (element && element.textContent !== text) element.textContent = text; };
    if (star && starred && star.getAttribute('aria-pressed') !== starred) {
      pressed(star, starred === 'true');
      say(star, starred === 'true' ? '★' : '☆');
    }
    say(one('.filters .count'), !cells.length ? '' : filtered() ? `${shown} of ${cells.length}` : `${cells.length} shown`);
    const none = one('.none'), clear = one('[data-filter-clear]'), bar = one('.filters');
    hide(none, shown > 0 || !cells.length);
    hide(clear, !filtered());
    for (const row of all('.undo li')) hide(row, dismissed.has(row.dataset.key));
    bar?.classList.toggle('idle', !cells.length && !filtered());
    const models = [...new Set(cells.map((cell) => cell.dataset.model).filter(Boolean))].sort();
    const list = one('[data-filter=model]');
    if (list && list.dataset.models !== models.join('\n')) {
      list.dataset.models = models.join('\n');
      list.replaceChildren(new Option('All models', ''), ...models.map((name) => new Option(name, name)));
      list.value = models.includes(want.model) ? want.model : (want.model = '');
    }
  };
  const pressed = (button, yes) => button.setAttribute('aria-pressed', String(yes));
  const clear = () => {
    want.modes.clear();
    Object.assign(want, {star: false, model: '', text: '', from: '', to: ''});
    for (const part of all('.filters [data-filter]')) part.value = '';
    for (const chip of all('.filters [aria-pressed]')) pressed(chip, false);
    apply();
  };

  // ---- the chosen one
  const close = () => {
    const box = one('.detail');
    if (!box) return false;
    one('video', box)?.pause();
    box.remove();
    opened = '';
    apply();
    back?.isConnected && back.focus({preventScroll: true});
    return true;
  };
  const open = (key) => { opened = key; tell('select', {key}); apply(); };
  const beside = (step) => {
    const cells = all('.grid figure:not([hidden])');
    const next = cells[cells.findIndex((cell) => cell.dataset.key === opened) + step];
    if (next) { open(next.dataset.key); next.scrollIntoView({block: 'nearest'}); }
  };
  const shut = (but) => { for (const menu of all('details.menu[open]')) if (menu !== but) menu.open = false; };

  const acts = {
    open: ({key}) => open(key),
    favourite: ({key}) => tell('like', {act: 'favourite', key}),
    delete: ({key}) => { dismissed.delete(key); if (key === opened) close(); tell('like', {act: 'delete', key}); },
    dismiss: ({key}) => { dismissed.add(key); apply(); },
    undo: ({key}) => tell('like', {act: 'undo', key}),
    reload: ({key, into}) => tell('submit', {key, into: into ?? ''}),
    send: ({key, meaning}) => tell('copy', {key, meaning: Number(meaning), head: one('.detail video')?.currentTime ?? 0}),
    export: ({key, kind}) => { busy(true); tell('download', {key, kind}); },
  };
  const busy = (yes) => one('.detail')?.classList.toggle('making', yes);
  const save = (made) => {
    const {href, name} = JSON.parse(made);
    const link = Object.assign(document.createElement('a'), {href, download: name});
    document.body.append(link);
    link.click();
    link.remove();
  };

  // ---- two in step: the longer one leads, the other follows it to its own end
  const pair = () => all('.compare video');
  const leader = () => { const [a, b] = pair(); return (b.duration || 0) > (a.duration || 0) ? b : a; };
  const rate = () => Math.max(...pair().map((video) => Number(video.dataset.fps) || 16));
  let playing = false;
  const show = (seconds) => {
    one('.compare input[type=range]').value = seconds;
    one('.compare output').textContent = `${seconds.toFixed(2)} s`;
  };
  const put = (seconds) => {
    for (const video of pair()) {
      if (video.duration) video.currentTime = Math.min(seconds, Math.max(video.duration - 0.001, 0));
    }
    show(seconds);
  };
  const follow = () => {
    if (!playing || !one('.compare')) return;
    const first = leader(), other = pair().find((video) => video !== first), now = first.currentTime;
    if (first.ended) { put(0); first.play().catch(() => {}); } else show(now);
    if (now >= other.duration) other.pause();
    else {
      if (Math.abs(other.currentTime - now) > 0.5 / rate() + 0.03) other.currentTime = now;
      if (other.paused) other.play().catch(() => {});
    }
    requestAnimationFrame(follow);
  };
  const play = (yes) => {
    const go = one('.compare [data-play]');
    playing = yes;
    go.textContent = yes ? '❚❚' : '▶';
    go.setAttribute('aria-label', yes ? 'Pause' : 'Play');
    if (!yes) { for (const video of pair()) video.pause(); return; }
    if (leader().ended) put(0);
    leader().play().then(follow, () => play(false));
  };
  const stand = () => { if (playing) { play(false); put(leader().currentTime); } };
  const step = (frames) => {
    stand();
    put((Math.max(Math.floor(leader().currentTime * rate() + 1e-4) + frames, 0) + 0.5) / rate());
  };
  const measured = () => {
    const line = one('.compare input[type=range]'), longest = leader()?.duration;
    if (line && longest) line.max = longest;
  };
  const leave = () => {
    const box = one('.compare');
    if (!box) return false;
    playing = false;
    box.remove();
    picked = [];
    apply();
    return true;
  };

  // ---- what comes from the server: Gradio changes what stands there, so that old parts may be new ones
  let waits = false, shown = '', compared = '';
  const drawn = () => {
    waits = false;
    const box = one('.detail'), two = one('.compare');
    if (box && box.dataset.turn !== shown) {
      shown = box.dataset.turn;
      box.scrollTop = 0;
      box.focus({preventScroll: true});
    }
    if (two && two.dataset.turn !== compared) {
      compared = two.dataset.turn;
      playing = false;
      measured();
      two.scrollIntoView({block: 'nearest', behavior: 'smooth'});
    }
    apply();
  };
  const listen = (element, trigger) => {
    tell = trigger;
    new MutationObserver(() => { if (!waits) { waits = true; requestAnimationFrame(drawn); } })
      .observe(page(), {childList: true, subtree: true, attributes: true, attributeFilter: ['hidden', 'data-turn']});
    let last = document.body.dataset.page;
    new MutationObserver(() => {
      const now = document.body.dataset.page, comes = now === 'gallery' && last !== now;
      last = now;
      if (comes) tell('focus');  // a job of another page, or one that nobody looked at, may be done
      else if (now !== 'gallery') { playing = false; for (const video of all('video')) video.pause(); }
    }).observe(document.body, {attributes: true, attributeFilter: ['data-page']});
    document.addEventListener('loadedmetadata', ({target}) => { if (target.closest('.compare')) measured(); }, true);
    drawn();
  };

  // ---- what a visitor does
  document.addEventListener('click', (event) => {
    const inside = event.target.closest?.('.page-gallery');
    if (!inside) return;
    shut(event.target.closest('details.menu'));
    const button = event.target.closest('[data-act]');
    if (button) {
      if (button.dataset.act === 'open' && button.closest('.grid')) back = button;
      shut();
      acts[button.dataset.act]?.(button.dataset);
      return;
    }
    const chip = event.target.closest('[data-filter-mode], [data-filter-star]');
    if (chip) {
      const mode = chip.dataset.filterMode;
      if (mode) want.modes.delete(mode) || want.modes.add(mode);
      else want.star = !want.star;
      pressed(chip, mode ? want.modes.has(mode) : want.star);
      apply();
    } else if (event.target.closest('[data-filter-clear]')) clear();
    else if (event.target.closest('[data-close]')) event.target.closest('.compare') ? leave() : close();
    else if (event.target.closest('.compare [data-play]')) playing ? stand() : play(true);
    else if (event.target.closest('.compare [data-step]')) step(Number(event.target.closest('[data-step]').dataset.step));
    else if (event.target.closest('[data-copy]')) {
      const copy = event.target.closest('[data-copy]');
      navigator.clipboard?.writeText(copy.dataset.copy).then(() => {
        copy.textContent = 'Copied';
        setTimeout(() => { copy.textContent = 'Copy'; }, 1500);
      }, () => {});
    }
  });
  const typed = ({target}) => {
    if (target.matches?.('.compare input[type=range]')) {
      const seconds = Number(target.value);
      stand();
      return put(seconds);
    }
    const name = target.closest?.('.page-gallery') && target.dataset.filter;
    if (!name) return;
    want[name] = name === 'text' ? target.value.toLowerCase().trim() : target.value;
    apply();
  };
  document.addEventListener('input', typed);
  document.addEventListener('change', (event) => {
    typed(event);
    const key = event.target.dataset?.pick;
    if (!key) return;
    picked = event.target.checked ? [...picked, key].slice(-2) : picked.filter((other) => other !== key);
    apply();
    if (picked.length === 2) tell('expand', {keys: picked});
    else if (one('.compare')) { playing = false; one('.compare').remove(); }
  });
  document.addEventListener('keydown', (event) => {
    if (document.body.dataset.page !== 'gallery') return;
    if (event.key === 'Escape') {
      const menu = one('details.menu[open]');
      if (menu) { menu.open = false; one('summary', menu).focus(); } else leave() || close();
    } else if (['ArrowLeft', 'ArrowRight'].includes(event.key) && document.activeElement?.matches('.detail')) {
      event.preventDefault();
      beside(event.key === 'ArrowLeft' ? -1 : 1);
    }
  });
  // A picture becomes its video under the pointer.
  document.addEventListener('mouseover', ({target}) => {
    const cell = target.closest?.('.page-gallery .grid .open'), picture = cell && one('img[data-video]', cell);
    if (!picture || one('video', cell)) return;
    const video = Object.assign(document.createElement('video'), {
      src: picture.dataset.video, muted: true, loop: true, autoplay: true, playsInline: true, tabIndex: -1,
    });
    cell.append(video);
    cell.addEventListener('mouseleave', () => { video.removeAttribute('src'); video.load(); video.remove(); }, {once: true});
  });
  document.addEventListener('error', ({target}) => {
    if (target.matches?.('.page-gallery .grid img')) target.closest('figure').classList.add('gone');
  }, true);

  window.wanGallery = {listen, save, busy, importer: () => document.querySelector('.page-gallery input[type=file]')};
})();
