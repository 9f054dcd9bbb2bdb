// The overview loads itself anew by htmx. Not while nobody sees it, and nothing is put in its place but itself: when the
// session is over, or the server fails, the page says so in full or stays as it is.
"use strict";

document.addEventListener("htmx:beforeRequest", (event) => {
    if (event.target.id === "embeddings-live" && document.hidden) event.preventDefault();
});

document.addEventListener("htmx:beforeSwap", (event) => {
    if (event.target.id !== "embeddings-live" || event.detail.xhr.status >= 400) return;
    if (!event.detail.serverResponse.includes('id="embeddings-live"')) {
        event.detail.shouldSwap = false;
        window.location.reload();
    }
});
