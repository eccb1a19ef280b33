// The least a drachtio-srf application does, as a process of its own: `node application.ts answer|b2bua PORT SECRET [TARGET]`.
// The same code drives our server and the C++ one.

import Srf from "drachtio-srf";

const [profile, port, secret, target] = process.argv.slice(2);

const SDP = [
  "v=0",
  "o=app 1 1 IN IP4 127.0.0.1",
  "s=-",
  "c=IN IP4 127.0.0.1",
  "t=0 0",
  "m=audio 40000 RTP/AVP 0 101",
  "a=rtpmap:0 PCMU/8000",
  "a=rtpmap:101 telephone-event/8000",
  "a=fmtp:101 0-15",
  "a=sendrecv",
  "a=ptime:20",
  "",
].join("\r\n");

let failed = 0;
const fail = () => {
  failed++;
};

const srf = new Srf();
srf.connect({ host: "127.0.0.1", port: Number(port), secret: secret ?? "" });
srf.on("connect", (error) => process.stdout.write(error ? `refused ${error.message}\n` : "connected\n"));
srf.on("error", () => {});
srf.invite((req, res) => {
  if (profile === "answer") {
    srf.createUAS(req, res, { localSdp: SDP }).then((dialog) => dialog.on("destroy", () => {}), fail);
    return;
  }
  srf.createB2BUA(req, res, `sip:far@${target}`, { localSdpB: req.body }).then(({ uas, uac }) => {
    uas.on("destroy", () => uac.destroy());
    uac.on("destroy", () => uas.destroy());
  }, fail);
});

// srf's `destroy` gives a promise that its types do not know: a BYE that nobody answers ends up here.
process.on("unhandledRejection", fail);

// Its parent asks, over the IPC channel, how often a promise of srf's was rejected.
process.on("message", () => process.send?.({ failed }));
process.on("disconnect", () => process.exit(0));
