; trapline - passive fingerprints of our own
; ------------------------------------------
;
; What the first packet of a connection tells about the system or the tool that sent it. Every entry
; says where the fact comes from; nothing here was taken from databases under the GPL or LGPL, which
; trapline reads at run time where you have them.
;
; Format: that of p0f 3, which also reads this file (`p0f -f trapline.fp -r capture.pcap`).
;
;   [mtu]            links by the largest packet they carry:  sig = MTU
;   [tcp:request]    SYNs
;   [tcp:response]   SYN/ACKs
;
;   label = s:class:name:flavour    s: one system, g: a group, tried after all s
;                                   class ! is a tool that writes its packets itself
;   sys   = @unix,@win              (tools only) where it runs
;   sig   = ver:ttl:ip:mss:window,scale:options:quirks:payload
;
;     ver      4, 6 or * for both
;     ttl      TTL that the sender begins with, up to 35 more than we see; `64-`: any up to 64
;     ip       length of IP options
;     mss      maximum segment size, or *; 0 where there is no such option
;     window   number, *, %N (a multiple of N), mss*N or mtu*N
;     scale    window scale, or *; 0 where there is no such option
;     options  in their order: mss, nop, ws, sok (SACK permitted), ts, sack, ?N, eol+N (N bytes behind it)
;     quirks   df, id+ (DF and an id that is not zero), id- (no DF and an id of zero), ecn, 0+ (reserved
;              bit), flow, seq-, ack+ (a number where no ACK flag is), ack-, uptr+, urgf+, pushf+, ts1- (own
;              stamp zero), ts2+ (peer's stamp not zero), opt+ (padding not zero), exws, bad
;     payload  0, + or *
;
; The first s that fits wins: most particular first.
;
; Sources, as the comments below abbreviate them:
;
;   measured   sent by the program named, in a network of two hosts, and read from the capture (2026)
;   packets    widely seen, but no document of the maker's says so
;   pf         OpenBSD's pf.os 1.19, whose notice is this:
;
;     (C) Copyright 2000-2003 by Michal Zalewski <lcamtuf@coredump.cx>
;     (C) Copyright 2003 by Mike Frantzen <frantzen@w4g.org>
;
;     Permission to use, copy, modify, and distribute this software for any purpose with or without fee
;     is hereby granted, provided that the above copyright notice and this permission notice appear in
;     all copies.
;
;     THE SOFTWARE IS PROVIDED "AS IS" AND THE AUTHOR DISCLAIMS ALL WARRANTIES WITH REGARD TO THIS
;     SOFTWARE INCLUDING ALL IMPLIED WARRANTIES OF MERCHANTABILITY AND FITNESS. IN NO EVENT SHALL THE
;     AUTHOR BE LIABLE FOR ANY SPECIAL, DIRECT, INDIRECT, OR CONSEQUENTIAL DAMAGES OR ANY DAMAGES
;     WHATSOEVER RESULTING FROM LOSS OF USE, DATA OR PROFITS, WHETHER IN AN ACTION OF CONTRACT, NEGLIGENCE
;     OR OTHER TORTIOUS ACTION, ARISING OUT OF OR IN CONNECTION WITH THE USE OR PERFORMANCE OF THIS SOFTWARE.

classes = win,unix,other

[mtu]

; RFC 894: Ethernet. RFC 1191 and RFC 791: what every host must take.
label = Ethernet
sig   = 1500
label = modem or least IPv4
sig   = 576

; RFC 2516: PPP over Ethernet takes 8 bytes.
label = PPPoE
sig   = 1492

; RFC 8200: what every IPv6 link must carry; many tunnels are set to it.
label = tunnel of least IPv6
sig   = 1280

; RFC 2784 (24 bytes) and RFC 4213 (20 bytes).
label = GRE
sig   = 1476
label = IPIP or SIT
sig   = 1480

; RFC 7348: 50 bytes. wg-quick(8): 80 bytes.
label = VXLAN
sig   = 1450
label = WireGuard
sig   = 1420

; Common setting of Ethernet cards; no standard.
label = jumbo Ethernet
sig   = 9000

; Linux drivers/net/loopback.c: 16 KiB and 20 + 20 + 12 bytes; since 3.6 64 KiB, of which an MSS can say 65495 only.
label = loopback
sig   = 16436
sig   = 65535

[tcp:request]

; ---------------------------------------------------------------- tools

; measured, Nmap 7.93 -sS: window 1024, TTL drawn from 37 to 59 (six packets had 40 to 55; the range is that of its
; source). pf: earlier versions drew windows of 2048, 3072 and 4096 too.
label = s:!:Nmap:SYN scan
sys   = @unix,@win
sig   = *:59-:0:1460:1024,0:mss::0
sig   = *:59-:0:1460:2048,0:mss::0
sig   = *:59-:0:1460:3072,0:mss::0
sig   = *:59-:0:1460:4096,0:mss::0

; pf: earlier still without any option.
label = s:!:Nmap:old SYN scan
sys   = @unix,@win
sig   = *:64-:0:0:1024,0:::0
sig   = *:64-:0:0:2048,0:::0
sig   = *:64-:0:0:3072,0:::0
sig   = *:64-:0:0:4096,0:::0

; Nmap Network Scanning, chapter 8, "TCP/IP Fingerprinting Methods Supported by Nmap": probes 1 to 6, ECN,
; and T5 (the last; measured too). The acknowledgement number is drawn, save in the ECN probe.
label = s:!:Nmap:OS detection
sys   = @unix,@win
sig   = *:64-:0:1460:1,10:ws,nop,mss,ts,sok:ack+:0
sig   = *:64-:0:1400:63,0:mss,ws,sok,ts,eol+0:ack+:0
sig   = *:64-:0:640:4,5:ts,nop,nop,ws,nop,mss:ack+:0
sig   = *:64-:0:0:4,10:sok,ts,ws,eol+0:ack+:0
sig   = *:64-:0:536:16,10:mss,sok,ts,ws,eol+0:ack+:0
sig   = *:64-:0:265:512,0:mss,sok,ts:ack+:0
sig   = *:64-:0:1460:3,10:ws,nop,mss,sok,nop,nop:ecn,uptr+:0
sig   = *:64-:0:265:31337,10:ws,nop,mss,ts,sok:ack+:0

; measured, masscan 1.3.2; newer sources have an MSS of 1460 in their template (src/templ-pkt.c).
label = s:!:masscan:
sys   = @unix,@win
sig   = *:255:0:0:1024,0:::0
sig   = *:255:0:1460:1024,0:mss::0

; measured, ZMap 2.1.1 (its IP id is always 54321).
label = s:!:ZMap:before 4.1
sys   = @unix
sig   = 4:255:0:0:65535,0:::0

; ZMap 3: set_mss_option (src/probe_modules/packet.c); since 4.1 also --probe-args smallest-probes.
label = s:!:ZMap:MSS only
sys   = @unix
sig   = 4:255:0:1460:65535,0:mss::0
sig   = 4:64:0:1460:65535,0:mss::0

; ZMap since 4.1: --probe-args windows (the default), linux and bsd (src/probe_modules/module_tcp_synscan.c, packet.c
; and its tests). The systems that it plays set DF. TTL 255 (MAXTTL), or 64 where --probe-ttl says so.
label = s:!:ZMap:as Windows
sys   = @unix
sig   = 4:255:0:1460:65535,8:mss,nop,ws,nop,nop,sok::0
sig   = 4:64:0:1460:65535,8:mss,nop,ws,nop,nop,sok::0
label = s:!:ZMap:as Linux
sys   = @unix
sig   = 4:255:0:1460:65535,7:mss,sok,ts,nop,ws::0
sig   = 4:64:0:1460:65535,7:mss,sok,ts,nop,ws::0
label = s:!:ZMap:as BSD
sys   = @unix
sig   = 4:255:0:1460:65535,6:mss,nop,ws,nop,nop,ts,sok,eol+1::0
sig   = 4:64:0:1460:65535,6:mss,nop,ws,nop,nop,ts,sok,eol+1::0

; measured, hping3 3.0.0-alpha-2 -S: window 512, the acknowledgement number is drawn.
label = s:!:hping:
sys   = @unix,@win
sig   = 4:64:0:0:512,0::ack+:0

; pf: NAST, a sniffer with a scanner.
label = s:!:NAST:SYN scan
sys   = @unix
sig   = 4:64:0:0:32767,0:::0

; mirai/bot/scanner.c: TTL 64, no option, one drawn window for a process. Others send bare SYNs too, so this is a
; group; the sequence number, which Mirai sets to the receiver's address, tells for sure.
label = g:!:Mirai:or another bare SYN
sys   = @unix
sig   = 4:64:0:0:*,0:::0

; ---------------------------------------------------------------- Windows

; pf. Microsoft, "TCP/IP and NBT Configuration Parameters for Windows 95": TTL 32, window 8192; later releases 128.
label = s:win:Windows:95
sig   = *:64:0:*:mss*44,0:mss,nop,ws,nop,nop,ts,nop,nop,sok:df,id+,ts1-:0
sig   = *:128:0:*:8192,0:mss,nop,ws,nop,nop,ts,nop,nop,sok:df,id+,ts1-:0
sig   = *:32:0:*:8192,0:mss:df,id+:0

; pf. Windows 98 asks for 536 where the modem said nothing else, and SACK came with it.
label = s:win:Windows:98
sig   = *:128:0:536:%8192,0:mss,nop,nop,sok:df,id+:0
sig   = *:64:0:536:%8192,0:mss,nop,nop,sok:df,id+:0
sig   = *:32:0:*:8192,0:mss,nop,nop,sok:df,id+:0
sig   = *:64:0:*:mss*4,0:mss,nop,nop,sok:df,id+:0
sig   = *:64:0:*:mss*6,0:mss,nop,nop,sok:df,id+:0
sig   = *:64:0:*:mss*12,0:mss,nop,nop,sok:df,id+:0
sig   = *:128:0:*:mss*16,0:mss,nop,nop,sok:df,id+:0
sig   = *:128:0:*:mss*26,0:mss,nop,nop,sok:df,id+:0
sig   = *:128:0:*:60352,0:mss,nop,nop,sok:df,id+:0

; pf; Microsoft, "TCP/IP and NBT Configuration Parameters for Windows NT": TTL 128, window 8192, no SACK.
label = s:win:Windows:NT 4.0
sig   = *:128:0:*:8192,0:mss:df,id+:0
sig   = *:128:0:*:mss*6,0:mss:df,id+:0

; Microsoft, "Windows 2000 TCP/IP Implementation Details": window 16 KiB before the connection is set up, SACK on,
; RFC 1323 off, DefaultTTL 128. Windows XP began with the same and came to 64 KiB with its service packs (pf).
label = s:win:Windows:2000
sig   = *:128:0:*:16384,0:mss,nop,nop,sok:df,id+:0
label = s:win:Windows:2000 SP4 or XP SP1
sig   = *:128:0:*:65535,0:mss,nop,nop,sok:df,id+:0
sig   = *:128:0:*:mss*45,0:mss,nop,nop,sok:df,id+:0
label = s:win:Windows:XP
sig   = *:128:0:*:mss*44,0:mss,nop,nop,sok:df,id+:0
sig   = *:128:0:*:64512,0:mss,nop,nop,sok:df,id+:0
sig   = *:128:0:*:mss*12,0:mss,nop,nop,sok:df,id+:0
sig   = *:128:0:*:65520,0:mss,nop,nop,sok:df,id+:0

; Microsoft, registry reference of Windows Server 2003, TcpWindowSize and Tcp1323Opts: scaling where the administrator
; asks for it. pf has the group, packets tell the windows.
label = s:win:Windows:XP or 2003
sig   = *:128:0:*:65535,0:mss,nop,ws,nop,nop,sok:df,id+:0
sig   = *:128:0:*:16384,0:mss,nop,ws,nop,nop,sok:df,id+:0

; Microsoft, "The Cable Guy: TCP Receive Window Auto-Tuning": scaling is on since Vista. packets: the scale is 8, or 2
; where it is restricted, and the window of the SYN stayed 8192 until Windows 8.1.
label = s:win:Windows:Vista to 8.1
sig   = *:128:0:*:8192,8:mss,nop,ws,nop,nop,sok:df,id+:0
sig   = *:128:0:*:8192,2:mss,nop,ws,nop,nop,sok:df,id+:0
sig   = *:128:0:*:8192,0:mss,nop,nop,sok:df,id+:0

; packets: since Windows 10 the window of the SYN is the largest multiple of the MSS below 64 KiB, or 65535; Windows
; 11 and Server 2022 likewise.
label = s:win:Windows:10 or 11
sig   = *:128:0:*:mss*44,8:mss,nop,ws,nop,nop,sok:df,id+:0
sig   = *:128:0:*:mss*45,8:mss,nop,ws,nop,nop,sok:df,id+:0
sig   = *:128:0:*:65535,8:mss,nop,ws,nop,nop,sok:df,id+:0

; packets: whatever begins at 128 and orders its options so is Windows (RFC 7323 leaves the order free; no other stack
; that we know has both).
label = g:win:Windows:2000 to 2003
sig   = *:128:0:*:*,0:mss,nop,nop,sok:df,id+:0
label = g:win:Windows:Vista or later
sig   = *:128:0:*:*,*:mss,nop,ws,nop,nop,sok:df,id+:0

; ---------------------------------------------------------------- Linux

; The order of options is that of net/ipv4/tcp_output.c: MSS, SACK permitted and timestamp together, then NOP and
; scale. The window follows the kernel's first receive buffer.

; AOSP, rootdir/init.rc: net.tcp.default_init_rwnd is 60 segments, cut to 64 KiB.
label = s:unix:Linux:Android
sig   = *:64:0:*:65535,6:mss,sok,ts,nop,ws:df,id+:0
sig   = *:64:0:*:65535,7:mss,sok,ts,nop,ws:df,id+:0
sig   = *:64:0:*:65535,8:mss,sok,ts,nop,ws:df,id+:0
sig   = *:64:0:*:65535,9:mss,sok,ts,nop,ws:df,id+:0

; measured, Linux 6.18; "tcp: up initial rmem to 128KB", 4.20.
label = s:unix:Linux:4.20 to 6.x
sig   = *:64:0:*:mss*44,7:mss,sok,ts,nop,ws:df,id+:0
sig   = *:64:0:*:mss*44,8:mss,sok,ts,nop,ws:df,id+:0
sig   = *:64:0:*:mss*44,9:mss,sok,ts,nop,ws:df,id+:0
sig   = *:64:0:*:mss*44,10:mss,sok,ts,nop,ws:df,id+:0
sig   = *:64:0:*:mss*45,*:mss,sok,ts,nop,ws:df,id+:0

; net/ipv4/tcp_output.c, tcp_default_init_rwnd(): twice the initial window of ten segments, 3.11 to 4.19.
label = s:unix:Linux:3.11 to 4.19
sig   = *:64:0:*:mss*20,5:mss,sok,ts,nop,ws:df,id+:0
sig   = *:64:0:*:mss*20,6:mss,sok,ts,nop,ws:df,id+:0
sig   = *:64:0:*:mss*20,7:mss,sok,ts,nop,ws:df,id+:0
sig   = *:64:0:*:mss*20,8:mss,sok,ts,nop,ws:df,id+:0
sig   = *:64:0:*:mss*20,9:mss,sok,ts,nop,ws:df,id+:0
sig   = *:64:0:*:mss*20,10:mss,sok,ts,nop,ws:df,id+:0

; RFC 6928 in Linux: ten segments since 2.6.39.
label = s:unix:Linux:2.6.39 to 3.10
sig   = *:64:0:*:mss*10,*:mss,sok,ts,nop,ws:df,id+:0

; pf: four segments; the scale, fixed at 0 in 2.4, grows with memory in 2.6.
label = s:unix:Linux:2.4
sig   = *:64:0:*:mss*4,0:mss,sok,ts,nop,ws:df,id+:0
sig   = *:64:0:*:mss*3,0:mss,sok,ts,nop,ws:df,id+:0
label = s:unix:Linux:2.6
sig   = *:64:0:*:mss*4,*:mss,sok,ts,nop,ws:df,id+:0
sig   = *:64:0:*:mss*3,*:mss,sok,ts,nop,ws:df,id+:0

; pf.
label = s:unix:Linux:2.2
sig   = *:64:0:*:mss*11,0:mss,sok,ts,nop,ws:df,id+:0
sig   = *:64:0:*:mss*20,0:mss,sok,ts,nop,ws:df,id+:0
sig   = *:64:0:*:mss*22,0:mss,sok,ts,nop,ws:df,id+:0
label = s:unix:Linux:2.0
sig   = *:64:0:*:512,0:mss::0
sig   = *:64:0:*:16384,0:mss::0

; The same order without timestamps (net.ipv4.tcp_timestamps = 0).
label = g:unix:Linux:without timestamps
sig   = *:64:0:*:*,*:mss,nop,nop,sok,nop,ws:df,id+:0
label = g:unix:Linux:
sig   = *:64:0:*:*,*:mss,sok,ts,nop,ws:df,id+:0

; ---------------------------------------------------------------- BSD and Apple

; netinet/tcp_output.c, tcp_addoptions(): MSS, scale, SACK, timestamp in this order since FreeBSD 7; the scale is 3
; where kern.ipc.maxsockbuf is 256 KiB, 6 where it is 2 MiB (since 9). netinet/ip_output.c, ip_fillid(): with
; net.inet.ip.rfc6864 a packet that may not be fragmented has an id of zero (RFC 6864).
label = s:unix:FreeBSD:9 or later
sig   = *:64:0:*:65535,6:mss,nop,ws,sok,ts:df,id+:0
sig   = *:64:0:*:65535,6:mss,nop,ws,sok,ts:df:0
label = s:unix:FreeBSD:7 or 8
sig   = *:64:0:*:65535,3:mss,nop,ws,sok,ts:df,id+:0
label = g:unix:FreeBSD:7 or later
sig   = *:64:0:*:65535,*:mss,nop,ws,sok,ts:df,id+:0

; pf (which cannot tell it from Mac OS X of the time).
label = s:unix:FreeBSD:4 or 5
sig   = *:64:0:*:57344,0:mss,nop,ws,nop,nop,ts:df,id+:0
sig   = *:64:0:*:65535,1:mss,nop,ws,nop,nop,ts:df,id+:0
sig   = *:64:0:*:65535,0:mss,nop,ws,nop,nop,ts:df,id+:0
sig   = *:64:0:*:32768,0:mss,nop,ws,nop,nop,ts:df,id+:0
sig   = *:64:0:*:16384,0:mss,nop,ws,nop,nop,ts:df,id+:0
label = s:unix:FreeBSD:2 to 4
sig   = *:64:0:*:16384,0:mss:df,id+:0
sig   = *:64:0:*:57344,0:mss:df,id+:0

; xnu, bsd/netinet/tcp_output.c: SACK last, then the end of options. packets: recent releases send an id of zero with
; DF, which RFC 6864 allows; the scale has grown with the release.
label = s:unix:macOS:or iOS, recent
sig   = *:64:0:*:65535,5:mss,nop,ws,nop,nop,ts,sok,eol+1:df:0
sig   = *:64:0:*:65535,6:mss,nop,ws,nop,nop,ts,sok,eol+1:df:0
label = s:unix:Mac OS X:10.5 to 10.11
sig   = *:64:0:*:65535,1:mss,nop,ws,nop,nop,ts,sok,eol+1:df,id+:0
sig   = *:64:0:*:65535,3:mss,nop,ws,nop,nop,ts,sok,eol+1:df,id+:0
sig   = *:64:0:*:65535,4:mss,nop,ws,nop,nop,ts,sok,eol+1:df,id+:0
sig   = *:64:0:*:65535,5:mss,nop,ws,nop,nop,ts,sok,eol+1:df,id+:0
label = g:unix:macOS:or iOS
sig   = *:64:0:*:65535,*:mss,nop,ws,nop,nop,ts,sok,eol+1:df:0
sig   = *:64:0:*:65535,*:mss,nop,ws,nop,nop,ts,sok,eol+1:df,id+:0

; pf; netinet/tcp_output.c of OpenBSD: NOPs stand before the option that they align. The scale follows sb_max.
label = s:unix:OpenBSD:3
sig   = *:64:0:*:16384,0:mss,nop,nop,sok,nop,ws,nop,nop,ts:df,id+:0
sig   = *:64:0:*:57344,0:mss,nop,nop,sok,nop,ws,nop,nop,ts:df,id+:0
label = s:unix:OpenBSD:4 or later
sig   = *:64:0:*:16384,3:mss,nop,nop,sok,nop,ws,nop,nop,ts:df,id+:0
sig   = *:64:0:*:16384,6:mss,nop,nop,sok,nop,ws,nop,nop,ts:df,id+:0
label = g:unix:OpenBSD:
sig   = *:64:0:*:*,*:mss,nop,nop,sok,nop,ws,nop,nop,ts:df,id+:0

; pf. sys/netinet/tcp_output.c of NetBSD: two NOPs behind SACK, two before the timestamp, which begins at 0.
label = s:unix:NetBSD:1.3
sig   = 4:64:0:*:16384,0:mss,nop,ws,nop,nop,ts::0
label = s:unix:NetBSD:1.6 or 2
sig   = *:64:0:*:16384,0:mss,nop,ws,nop,nop,ts:ts1-:0
sig   = *:64:0:*:16384,0:mss,nop,ws,nop,nop,ts:df,id+,ts1-:0
sig   = *:64:0:*:32768,0:mss,nop,ws,nop,nop,ts:df,id+,ts1-:0
sig   = *:64:0:*:65535,1:mss,nop,ws,nop,nop,ts:df,id+,ts1-:0
label = s:unix:NetBSD:3 or later
sig   = *:64:0:*:32768,*:mss,nop,ws,sok,nop,nop,nop,nop,ts:df,id+,ts1-:0
sig   = *:64:0:*:32768,*:mss,nop,ws,sok,nop,nop,nop,nop,ts:df,ts1-:0

; ---------------------------------------------------------------- Solaris

; pf.
label = s:unix:Solaris:2.5 to 7
sig   = *:255:0:*:mss*6,0:mss:df,id+:0
sig   = *:255:0:*:mss*17,0:mss:df,id+:0
sig   = *:255:0:*:mss*44,0:mss:df,id+:0
label = s:unix:Solaris:8
sig   = *:64:0:*:mss*17,0:nop,nop,sok,mss:df,id+:0
sig   = *:64:0:*:mss*17,3:nop,ws,nop,nop,ts,nop,nop,sok,mss:df,id+,ts1-:0
label = s:unix:Solaris:9
sig   = *:64:0:*:mss*34,0:mss,nop,nop,sok:df,id+:0
label = s:unix:Solaris:10
sig   = *:64:0:*:mss*34,0:mss,nop,ws,nop,nop,sok:df,id+:0
sig   = *:64:0:*:32850,1:mss,nop,nop,ts,nop,ws,nop,nop,sok:df,id+:0

; ---------------------------------------------------------------- small stacks and devices

; lwIP, src/include/lwip/opt.h: TCP_MSS 536, TCP_WND four of them, TTL 255, only the MSS option, no DF.
; ESP-IDF (Kconfig of its lwIP): MSS 1440 (before 1436), window four of them, TTL 64.
label = s:other:lwIP:
sig   = 4:255:0:536:mss*4,0:mss::0
label = s:other:lwIP:ESP-IDF
sig   = 4:64:0:1440:mss*4,0:mss::0
sig   = 4:64:0:1436:mss*4,0:mss::0

; pf (TTL 255 in the first releases, uip.c); uipopt.h: UIP_TTL 64; the window is one segment (UIP_RECEIVE_WINDOW).
label = s:other:uIP:or Contiki
sig   = 4:64:0:*:mss*1,0:mss::0
sig   = 4:255:0:*:mss*1,0:mss::0

; pf.
label = s:other:Cisco IOS:Catalyst
sig   = 4:255:0:*:4128,0:mss::0
label = s:other:Cisco IOS:12008
sig   = 4:255:0:*:mss*8,0:mss::0
label = s:other:PalmOS:
sig   = 4:255:0:536:mss*5,0:mss::0
sig   = 4:255:0:536:mss*9,0:mss::0

; Wind River, VxWorks Network Programmer's Guide 5.4, table 4-3: TCP_RCV_SIZE_DFLT 8192, TCP_FLAGS_DFLT with RFC 1323.
; Its stack is that of 4.4BSD (TTL 64, tcp_output.c's order), so this is a group.
label = g:other:VxWorks:or another stack of 4.4BSD
sig   = 4:64:0:*:8192,0:mss,nop,ws,nop,nop,ts::0
sig   = 4:64:0:*:8192,0:mss::0

[tcp:response]

; An answer leaves out the options that the SYN did not have. The windows are those of the requests above, less the
; timestamp where the kernel counts it (mss*N means either).

; net/ipv4/tcp_ipv4.c and ip_build_and_send_pkt(): the answer's id is zero and DF is set.
label = s:unix:Linux:4.20 to 6.x
sig   = *:64:0:*:mss*45,*:mss,sok,ts,nop,ws:df:0
sig   = *:64:0:*:mss*44,*:mss,nop,nop,sok,nop,ws:df:0
sig   = *:64:0:*:mss*44,0:mss:df:0
label = s:unix:Linux:3.11 to 4.19
sig   = *:64:0:*:mss*20,*:mss,sok,ts,nop,ws:df:0
sig   = *:64:0:*:mss*20,*:mss,nop,nop,sok,nop,ws:df:0
sig   = *:64:0:*:mss*20,0:mss:df:0
label = s:unix:Linux:2.6.39 to 3.10
sig   = *:64:0:*:mss*10,*:mss,sok,ts,nop,ws:df:0
sig   = *:64:0:*:mss*10,*:mss,nop,nop,sok,nop,ws:df:0
sig   = *:64:0:*:mss*10,0:mss:df:0
label = s:unix:Linux:2.4 or 2.6
sig   = *:64:0:*:mss*4,*:mss,sok,ts,nop,ws:df:0
sig   = *:64:0:*:mss*4,*:mss,nop,nop,sok,nop,ws:df:0
sig   = *:64:0:*:mss*4,0:mss:df:0
label = g:unix:Linux:
sig   = *:64:0:*:*,*:mss,sok,ts,nop,ws:df:0
sig   = *:64:0:*:*,*:mss,nop,nop,sok,nop,ws:df:0

; As the requests: Microsoft's documents named there.
label = s:win:Windows:Vista to 8.1
sig   = *:128:0:*:8192,8:mss,nop,ws,nop,nop,sok:df,id+:0
sig   = *:128:0:*:8192,0:mss,nop,nop,sok:df,id+:0
sig   = *:128:0:*:8192,0:mss:df,id+:0
label = s:win:Windows:10 or 11
sig   = *:128:0:*:65535,8:mss,nop,ws,nop,nop,sok:df,id+:0
sig   = *:128:0:*:mss*44,8:mss,nop,ws,nop,nop,sok:df,id+:0
label = g:win:Windows:2000 to 2003
sig   = *:128:0:*:*,0:mss,nop,nop,sok:df,id+:0
sig   = *:128:0:*:*,0:mss:df,id+:0
label = g:win:Windows:
sig   = *:128:0:*:*,*:mss,nop,ws,nop,nop,sok:df,id+:0

; As the requests: tcp_addoptions().
label = s:unix:FreeBSD:9 or later
sig   = *:64:0:*:65535,6:mss,nop,ws,sok,ts:df,id+:0
sig   = *:64:0:*:65535,6:mss,nop,ws,sok,ts:df:0
label = g:unix:FreeBSD:7 or later
sig   = *:64:0:*:65535,*:mss,nop,ws,sok,ts:df,id+:0
label = s:unix:OpenBSD:4 or later
sig   = *:64:0:*:16384,3:mss,nop,nop,sok,nop,ws,nop,nop,ts:df,id+:0
sig   = *:64:0:*:16384,6:mss,nop,nop,sok,nop,ws,nop,nop,ts:df,id+:0
