"""Recording metadata in the dialects of phone systems, each the smallest document that shows its ways."""

RFC7865 = b"""<?xml version="1.0" encoding="UTF-8"?>
<recording xmlns="urn:ietf:params:xml:ns:recording:1">
  <datamode>complete</datamode>
  <group group_id="g1"><associate-time>2026-11-02T09:00:00Z</associate-time></group>
  <session session_id="s1">
    <sipSessionID>ab30317f1a784dc48ff824d0d3715d86;remote=47755a9de7794ba387653f2099600ef2</sipSessionID>
    <group-ref>g1</group-ref>
    <start-time>2026-11-02T09:00:01.250Z</start-time>
  </session>
  <participant participant_id="p1"><nameID aor="sip:+12025550101@a.example"><name xml:lang="en">Ann</name></nameID>
  </participant>
  <participant participant_id="p2"><nameID aor="tel:+1-202-555-0102"><name>Bob &amp; Co</name></nameID></participant>
  <stream stream_id="st1" session_id="s1"><label>96</label></stream>
  <stream stream_id="st2" session_id="s1"><label>97</label></stream>
  <sessionrecordingassoc session_id="s1"><associate-time>2026-11-02T09:00:01Z</associate-time></sessionrecordingassoc>
  <participantsessionassoc participant_id="p1" session_id="s1"><associate-time>2026-11-02T09:00:01Z</associate-time>
  </participantsessionassoc>
  <participantsessionassoc participant_id="p2" session_id="s1"/>
  <participantstreamassoc participant_id="p1"><send>st1</send><recv>st2</recv></participantstreamassoc>
  <participantstreamassoc participant_id="p2"><send>st2</send><recv>st1</recv></participantstreamassoc>
</recording>
"""

DRAFT = b"""<?xml version='1.0'?>
<rec:recording xmlns:rec='urn:ietf:params:xml:ns:recording'>
  <rec:dataMode>partial</rec:dataMode>
  <rec:session id="urn:uuid:s1"><rec:start-time>2026-11-02T09:00:01</rec:start-time></rec:session>
  <rec:participant id="urn:uuid:p1" session="urn:uuid:s1">
    <rec:aor>2025550101@a.example</rec:aor><rec:name>Ann</rec:name>
    <rec:associate-time>1970-01-01T00:00:00Z</rec:associate-time>
    <rec:send><rec:id>urn:uuid:st1</rec:id></rec:send><rec:recv>urn:uuid:st2</rec:recv>
  </rec:participant>
  <rec:participant id="urn:uuid:p2">
    <rec:nameID aor="sip:bob@b.example"/><rec:send id="urn:uuid:st2"/>
    <rec:disassociate-time>2026-11-02T09:05:00+0000</rec:disassociate-time>
  </rec:participant>
  <rec:stream id="urn:uuid:st1" session="urn:uuid:s1"><rec:label>a_leg</rec:label></rec:stream>
  <rec:stream id="urn:uuid:st2" session="urn:uuid:s1"><rec:label>b_leg</rec:label><rec:mode>mixed</rec:mode>
  </rec:stream>
</rec:recording>"""

BROADWORKS_DATA = """<broadWorksRecordingMetadata xmlns="http://schema.broadsoft.com/broadworksCallRecording" \
version="1.0">
      <extTrackingID>16:1</extTrackingID>
      <serviceProviderID>provider</serviceProviderID>
      <groupID>sales</groupID>
      <userID>bob@b.example</userID>
      <callID>callhalf-113:0</callID>
      <callType><termCall>
        <callingPartyNumber>+12025550101</callingPartyNumber>
        <calledPartyNumber>+12025550102</calledPartyNumber>
      </termCall></callType>
      <recordingType>on</recordingType>
    </broadWorksRecordingMetadata>"""

BROADWORKS = f"""<?xml version="1.0" encoding="utf-8" standalone="yes"?>
<recording xmlns="urn:ietf:params:xml:ns:recording">
  <dataMode>complete</dataMode>
  <group id="g1"><associate-time>2026-11-02T09:00:00+00:00</associate-time></group>
  <session id="s1"><group-ref>g1</group-ref></session>
  <participant id="p2" session="s1"><nameID aor="sip:+12025550102@b.example"><name>Bob</name></nameID>
    <send>st2</send></participant>
  <participant id="p1" session="s1"><nameID aor="sip:+12025550101@a.example"/><send>st1</send></participant>
  <stream id="st1" session="s1"><label>1</label></stream>
  <stream id="st2" session="s1"><label>2</label></stream>
  <extensiondata id="x1" parent="s1">{BROADWORKS_DATA}</extensiondata>
</recording>""".encode()

WEBEX = f"""<recording xmlns="urn:ietf:params:xml:ns:recording:1">
  <datamode>complete</datamode>
  <session session_id="s1"/>
  <participant participant_id="p1"><nameID aor="sip:internal77c1@b.example"/></participant>
  <participant participant_id="p2"><nameID aor="sip:+12025550101@a.example"><name>Ann</name></nameID></participant>
  <stream stream_id="st1" session_id="s1"><label>0</label></stream>
  <stream stream_id="st2" session_id="s1"><label>1</label></stream>
  <participantstreamassoc participant_id="p1"><send>st1</send></participantstreamassoc>
  <participantstreamassoc participant_id="p2"><send>st2</send></participantstreamassoc>
  <extensiondata id="x1" parent="s1">{BROADWORKS_DATA}</extensiondata>
</recording>""".encode()

METASWITCH = b"""<recording_metadata xmlns="urn:ietf:params:xml:ns:siprec">
  <dataMode>complete</dataMode>
  <session id="s1"><ms:businessGroup xmlns:ms="urn:meta">sales</ms:businessGroup></session>
  <participant id="p1"><nameID>2025550101</nameID></participant>
  <stream id="st1"><label>1</label></stream>
</recording_metadata>"""

ORACLE = b"""<?xml version="1.0" encoding="UTF-8"?>
<recording xmlns='urn:ietf:params:xml:ns:recording' xmlns:apkt="http://acmepacket.com/siprec/extensiondata">
  <dataMode>complete</dataMode>
  <session id="s1"/>
  <participant id="p1" session="s1"><nameID aor="sip:2025550101@a.example"/>
    <extensiondata xmlns:apkt="http://acmepacket.com/siprec/extensiondata"><apkt:callerOrig>true</apkt:callerOrig>
    </extensiondata></participant>
  <apkt:ucid>00FA080001<!-- kept -->&#x41;</apkt:ucid>
</recording>"""

AVAYA = b"""<recording xmlns="urn:ietf:params:xml:ns:recording:1">
  <datamode>partial</datamode>
  <participant participant_id="p1"><nameID aor="sip:2025550101@a.example"/></participant>
  <stream stream_id="" session_id="s1"><label>1</label></stream>
  <stream stream_id="" session_id="s1"><label>2</label></stream>
  <participantstreamassoc participant_id="p1"><send></send></participantstreamassoc>
</recording>"""

OPENSIPS = b"""<recording xmlns='urn:ietf:params:xml:ns:recording:1'>
<datamode>complete</datamode>
<session session_id="s1"><group-ref>g&amp;1</group-ref></session>
<participant participant_id="p1"><nameID aor="<sip:ann@a.example;a=1&b=2>"><name>Ann & Co</name></nameID></participant>
</recording>
"""

UNDECLARED = b"""

<recording xmlns='urn:ietf:params:xml:ns:recording:1'><datamode>complete</datamode>
<session session_id="s1"><vendor:tag a="1">x</vendor:tag></session></recording>\x00"""

ALL = (RFC7865, DRAFT, BROADWORKS, WEBEX, METASWITCH, ORACLE, AVAYA, OPENSIPS, UNDECLARED)
