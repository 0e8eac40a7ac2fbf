// What only the browser can do with a clip: measure it before any server opens it, and stand it at a moment.
(() => {
  const PATIENCE = 20000;
  // Figures of a clip for a ClipFigures component; null for one that this browser cannot play.
  const measure = (clip) => new Promise((resolve) => {
    if (!clip?.url) { resolve(null); return; }
    const video = document.createElement('video');
    const end = (figures) => { clearTimeout(late); video.removeAttribute('src'); video.load(); resolve(figures); };
    const late = setTimeout(end, PATIENCE, null);
    video.addEventListener('error', () => end(null), {once: true});
    video.addEventListener('loadedmetadata', () => end({
      clip: {path: clip.path, meta: clip.meta}, width: video.videoWidth, height: video.videoHeight,
      seconds: Number.isFinite(video.duration) ? video.duration : null,
    }), {once: true});
    video.preload = 'metadata';
    video.src = clip.url;
  });

  const moments = new Map();  // by the element id of the slot's clip: what its preview shall show
  const stand = (id) => {
    const video = document.querySelector(`#${id} video`);
    if (!video || video.readyState < 1 || !Number.isFinite(video.duration)) return;
    const {when, second} = moments.get(id);
    const last = Math.max(video.duration - 0.01, 0);  // at the very end some browsers show nothing
    video.currentTime = when === 'first' ? 0 : when === 'last' ? last : Math.min(Math.max(second || 0, 0), last);
  };
  // The words under the preview, as HTML.
  const show = (id, clip, when, second) => {
    moments.set(id, {when, second});
    stand(id);
    if (!clip) return '';
    const frame = when === 'at' ? `Frame at ${second || 0} s` : when === 'last' ? 'Last frame' : 'First frame';
    const name = document.createElement('span');
    name.textContent = clip.orig_name || clip.path.split(/[\\/]/).pop();
    return `<p class="dim">${frame} of ${name.innerHTML}</p>`;
  };
  // Media events do not bubble, but they are caught on their way down.
  document.addEventListener('loadedmetadata', ({target}) => {
    target.closest('.unshown')?.classList.remove('unshown');
    for (const id of moments.keys()) if (target.closest(`#${id}`)) stand(id);
  }, true);
  document.addEventListener('error', (event) => {
    const slot = event.target.tagName === 'VIDEO' && event.target.closest('.inputs .block');
    if (!slot) return;
    // Gradio would call the input broken ("Video not playable"); the model reads more formats than browsers.
    event.stopPropagation();
    slot.classList.add('unshown');
  }, true);

  window.wanClips = {measure, show};
})();
